// SPDX-License-Identifier: Apache-2.0
//
// Pooling, fp32, avx2_fma3.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/pool/pool.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace aio {
namespace {
#include "csrc/kernels/vec16/avx2_fma3.inc"
// Over the Vec16 above.
#include "csrc/kernels/pool/rows.inc"
}  // namespace

void max_pool2d_f32_avx2_fma3(const Pool2d& pool, int row_begin, int row_end) {
  max_pool(pool, row_begin, row_end);
}
void avg_pool2d_f32_avx2_fma3(const Pool2d& pool, int row_begin, int row_end) {
  avg_pool(pool, row_begin, row_end);
}

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
