// SPDX-License-Identifier: Apache-2.0
//
// Reads a buffer of floats, avx512.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/read_bandwidth/read_bandwidth.h"

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

constexpr int kChains = 8;
#include "csrc/kernels/read_bandwidth/sum.inc"
}  // namespace

float read_sum_f32_avx512(const float* data, int64_t count) { return read_sum(data, count); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
