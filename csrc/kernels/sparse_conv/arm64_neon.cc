// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse convolution, fp32, NEON (the baseline of aarch64). A block of 16 output
// channels is four vectors, one of 8 is two.
//
// Tile      up to 6 pixels by 16 channels or 12 by 8: 24 of the 32 registers accumulate, up to four
//           hold the weights.
// Reads     exactly the tile's inputs; the halo makes bounds checks needless.
// Numerics  one FMA per kept element in packed order, bit-equal to avx2_fma3 and avx512.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Half the Vec16 above.
#include "csrc/kernels/vec8/neon.inc"
// Over both.
#include "csrc/kernels/sparse_conv/tile.inc"
}  // namespace

#define AIO_DEFINE_neon(height, rows, cols)                                            \
  void sparse_conv_f32_##rows##x##cols##x##height##_neon(const SparseConvTile& tile) { \
    sparse_conv<height, rows, cols>(tile);                                             \
  }
#define AIO_DEFINE_scalar(height, rows, cols)
#define AIO_SPARSE_CONV(isa, suffix, height, rows, cols) AIO_DEFINE_##suffix(height, rows, cols)
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV

}  // namespace aio

#endif  // __aarch64__
