// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse convolution, fp32, AVX2 + FMA3. A block of 16 output channels is two vectors,
// one of 8 is one.
//
// Tile      up to 6 pixels by 16 channels or 12 by 8: twelve accumulators cover the FMA latency (4
//           cycles, 2 per cycle).
// Reads     exactly the tile's inputs; the halo makes bounds checks needless.
// Numerics  one FMA per kept element in packed order, bit-equal to avx512.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

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
#include "csrc/kernels/sparse_conv/tile.inc"
}  // namespace

#define AIO_DEFINE_avx2_fma3(height, rows, cols)                                            \
  void sparse_conv_f32_##rows##x##cols##x##height##_avx2_fma3(const SparseConvTile& tile) { \
    sparse_conv<height, rows, cols>(tile);                                                  \
  }
#define AIO_DEFINE_avx512(height, rows, cols)
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
