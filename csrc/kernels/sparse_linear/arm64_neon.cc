// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse linear layer, fp32, NEON.
//
// Numerics  one FMA per kept element, bit-equal to avx2_fma3 and avx512.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/sparse_linear/sparse_linear.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Half the Vec16 above.
#include "csrc/kernels/vec8/neon.inc"
// Over both.
#include "csrc/kernels/sparse_linear/block.inc"
}  // namespace

void sparse_linear_f32_1x16_neon(const SparseLinearBlock& block) { sparse_linear<16>(block); }
void sparse_linear_f32_1x8_neon(const SparseLinearBlock& block) { sparse_linear<8>(block); }

}  // namespace aio

#endif  // __aarch64__
