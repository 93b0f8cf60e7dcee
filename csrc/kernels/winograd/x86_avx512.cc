// SPDX-License-Identifier: Apache-2.0
//
// Winograd transforms F(4x4, 3x3), fp32, avx512.
//
// Numerics  bit-equal to avx2_fma3.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/winograd/winograd.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma")
#endif

namespace aio {
namespace {
#include "csrc/kernels/vec16/avx512.inc"
// Over the Vec16 above.
#include "csrc/kernels/winograd/transform.inc"
}  // namespace

void winograd_input_f32_4x4_avx512(const WinogradInput& patch) { winograd_any_input(patch); }
void winograd_weights_f32_4x4_avx512(const WinogradWeights& block) { winograd_weights(block); }
void winograd_output_f32_4x4_avx512(const WinogradOutput& tile) { winograd_output(tile); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
