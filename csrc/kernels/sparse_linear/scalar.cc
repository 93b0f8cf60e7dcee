// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse linear layer, fp32, scalar.
//
// Numerics  the product is rounded before it is added: within tolerance, not bit-equal.
#include "csrc/kernels/sparse_linear/sparse_linear.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Half the Vec16 above.
#include "csrc/kernels/vec8/scalar.inc"
// Over both.
#include "csrc/kernels/sparse_linear/block.inc"
}  // namespace

void sparse_linear_f32_1x16_scalar(const SparseLinearBlock& block) { sparse_linear<16>(block); }
void sparse_linear_f32_1x8_scalar(const SparseLinearBlock& block) { sparse_linear<8>(block); }

}  // namespace aio
