// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse linear layer, fp32, avx512.
//
// Numerics  one FMA per kept element, bit-equal to avx2_fma3.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/sparse_linear/sparse_linear.h"

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
// Half the Vec16 above.
#include "csrc/kernels/vec8/avx512.inc"
// Over both.
#include "csrc/kernels/sparse_linear/block.inc"
}  // namespace

void sparse_linear_f32_1x16_avx512(const SparseLinearBlock& block) { sparse_linear<16>(block); }
void sparse_linear_f32_1x8_avx512(const SparseLinearBlock& block) { sparse_linear<8>(block); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
