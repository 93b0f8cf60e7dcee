// SPDX-License-Identifier: Apache-2.0
//
// Element-wise operators, fp32, avx512.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/elementwise/elementwise.h"

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
#include "csrc/kernels/elementwise/span.inc"
}  // namespace

void elementwise_f32_avx512(const Elementwise& work) { elementwise(work); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
