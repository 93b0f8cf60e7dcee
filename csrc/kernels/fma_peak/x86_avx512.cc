// SPDX-License-Identifier: Apache-2.0
//
// Multiply-add peak of one core, fp32, avx512: 24 independent chains of 16 lanes.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/fma_peak/fma_peak.h"

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

constexpr int kAccumulators = 24;
#include "csrc/kernels/fma_peak/chain.inc"
}  // namespace

int64_t fma_peak_f32_avx512(int64_t iterations, float* sink) { return fma_chain(iterations, sink); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
