// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse linear layer, fp32, avx2_fma3.
//
// Numerics  one FMA per kept element, bit-equal to avx512.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/sparse_linear/sparse_linear.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace aio {
namespace {
#include "csrc/kernels/vec16/avx2_fma3.inc"
// Half the Vec16 above.
#include "csrc/kernels/vec8/avx2_fma3.inc"
// Over both.
#include "csrc/kernels/sparse_linear/block.inc"
}  // namespace

void sparse_linear_f32_1x16_avx2_fma3(const SparseLinearBlock& block) { sparse_linear<16>(block); }
void sparse_linear_f32_1x8_avx2_fma3(const SparseLinearBlock& block) { sparse_linear<8>(block); }

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
