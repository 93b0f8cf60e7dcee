// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse convolution, fp32, for every machine. Plain loops over the channels of a
// block, which compilers turn into the baseline's vectors (SSE2, NEON).
//
// Tile      up to 4 pixels.
// Reads     exactly the tile's inputs.
// Numerics  the product is rounded before it is added: within the family's tolerance, not
// bit-equal.
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Half the Vec16 above.
#include "csrc/kernels/vec8/scalar.inc"
// Over both.
#include "csrc/kernels/sparse_conv/tile.inc"
}  // namespace

#define AIO_DEFINE_avx512(height, rows, cols)
#define AIO_DEFINE_avx2_fma3(height, rows, cols)
#define AIO_DEFINE_neon(height, rows, cols)
#define AIO_DEFINE_scalar(height, rows, cols)                                            \
  void sparse_conv_f32_##rows##x##cols##x##height##_scalar(const SparseConvTile& tile) { \
    sparse_conv<height, rows, cols>(tile);                                               \
  }
#define AIO_SPARSE_CONV(isa, suffix, height, rows, cols) AIO_DEFINE_##suffix(height, rows, cols)
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV

}  // namespace aio
