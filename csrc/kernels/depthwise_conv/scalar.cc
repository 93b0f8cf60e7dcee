// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolution, fp32, for every machine. Plain loops over 16 channels, which compilers
// turn into the baseline's vectors (SSE2, NEON).
//
// Tile      up to 4 pixels.
// Reads     exactly the tile's inputs.
// Numerics  the product is rounded before it is added: within the family's tolerance, not
// bit-equal.
#include "csrc/kernels/depthwise_conv/depthwise_conv.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/depthwise_conv/tile.inc"
}  // namespace

#define AIO_DEFINE_avx512(rows, cols)
#define AIO_DEFINE_avx2_fma3(rows, cols)
#define AIO_DEFINE_neon(rows, cols)
#define AIO_DEFINE_scalar(rows, cols)                                               \
  void depthwise_conv_f32_##rows##x##cols##x16_scalar(const SparseConvTile& tile) { \
    depthwise_conv<rows, cols>(tile);                                               \
  }
#define AIO_DEPTHWISE_CONV(isa, suffix, rows, cols) AIO_DEFINE_##suffix(rows, cols)
#include "csrc/kernels/depthwise_conv/depthwise_conv.inc"
#undef AIO_DEPTHWISE_CONV

}  // namespace aio
