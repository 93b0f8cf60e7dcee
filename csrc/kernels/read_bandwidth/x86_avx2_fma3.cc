// SPDX-License-Identifier: Apache-2.0
//
// Reads a buffer of floats, avx2_fma3.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/read_bandwidth/read_bandwidth.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace aio {
namespace {
#include "csrc/kernels/vec16/avx2_fma3.inc"

constexpr int kChains = 4;
#include "csrc/kernels/read_bandwidth/sum.inc"
}  // namespace

float read_sum_f32_avx2_fma3(const float* data, int64_t count) { return read_sum(data, count); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
