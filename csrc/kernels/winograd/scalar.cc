// SPDX-License-Identifier: Apache-2.0
//
// Winograd transforms F(4x4, 3x3), fp32, scalar.
//
// Numerics  products are rounded before they are added: within tolerance, not bit-equal.

#include "csrc/kernels/winograd/winograd.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/winograd/transform.inc"
}  // namespace

void winograd_input_f32_4x4_scalar(const WinogradInput& patch) { winograd_any_input(patch); }
void winograd_weights_f32_4x4_scalar(const WinogradWeights& block) { winograd_weights(block); }
void winograd_output_f32_4x4_scalar(const WinogradOutput& tile) { winograd_output(tile); }

}  // namespace aio
