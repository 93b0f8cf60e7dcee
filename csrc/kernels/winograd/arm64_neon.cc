// SPDX-License-Identifier: Apache-2.0
//
// Winograd transforms F(4x4, 3x3), fp32, NEON.
//
// Numerics  bit-equal to avx2_fma3 and avx512.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/winograd/winograd.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Over the Vec16 above.
#include "csrc/kernels/winograd/transform.inc"
}  // namespace

void winograd_input_f32_4x4_neon(const WinogradInput& patch) { winograd_any_input(patch); }
void winograd_weights_f32_4x4_neon(const WinogradWeights& block) { winograd_weights(block); }
void winograd_output_f32_4x4_neon(const WinogradOutput& tile) { winograd_output(tile); }

}  // namespace aio

#endif  // __aarch64__
