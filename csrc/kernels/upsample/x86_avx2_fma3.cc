// SPDX-License-Identifier: Apache-2.0
//
// Bilinear interpolation, fp32, avx2_fma3.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/upsample/upsample.h"

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
#include "csrc/kernels/upsample/row.inc"
}  // namespace

void upsample_f32_avx2_fma3(const UpsampleRow& row) { upsample(row); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
