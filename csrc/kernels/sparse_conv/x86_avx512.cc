// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse convolution, fp32, AVX-512. A block of 16 output channels is one vector, one
// of 8 is one of half the width; one input element is broadcast from memory into each FMA.
//
// Tile      up to 28 pixels, one accumulator each of the 32 registers.
// Reads     exactly the tile's inputs; the halo makes bounds checks needless.
// Numerics  one FMA per kept element in packed order, bit-equal to avx2_fma3.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

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
#include "csrc/kernels/sparse_conv/tile.inc"
}  // namespace

#define AIO_DEFINE_avx512(height, rows, cols)                                            \
  void sparse_conv_f32_##rows##x##cols##x##height##_avx512(const SparseConvTile& tile) { \
    sparse_conv<height, rows, cols>(tile);                                               \
  }
#define AIO_DEFINE_avx2_fma3(height, rows, cols)
#define AIO_DEFINE_scalar(height, rows, cols)
#define AIO_SPARSE_CONV(isa, suffix, height, rows, cols) AIO_DEFINE_##suffix(height, rows, cols)
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
