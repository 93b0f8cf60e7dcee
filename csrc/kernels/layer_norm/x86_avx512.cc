// SPDX-License-Identifier: Apache-2.0
//
// Layer normalisation, fp32, avx512.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/layer_norm/layer_norm.h"

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
#include "csrc/kernels/layer_norm/group.inc"
}  // namespace

void layer_norm_f32_avx512(const LayerNorm& work) { layer_norm(work); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
