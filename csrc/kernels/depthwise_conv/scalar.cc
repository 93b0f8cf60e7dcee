// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolution, fp32, for every machine. Plain loops over 16 channels, which compilers
// turn into the baseline's vectors (SSE2, NEON).
//
// Tile      4 pixels.
// Reads     exactly the region's inputs.
// Numerics  the product is rounded before it is added: within the family's tolerance, not
// bit-equal.
#include "csrc/kernels/depthwise_conv/depthwise_conv.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/depthwise_conv/region.inc"
}  // namespace

#define AIO_DEFINE_avx512(cols)
#define AIO_DEFINE_avx2_fma3(cols)
#define AIO_DEFINE_neon(cols)
#define AIO_DEFINE_scalar(cols)                                                     \
  void depthwise_conv_f32_1x##cols##x16_scalar(const DepthwiseConvRegion& region) { \
    depthwise_conv<cols>(region);                                                   \
  }
#define AIO_DEPTHWISE_CONV(isa, suffix, cols) AIO_DEFINE_##suffix(cols)
#include "csrc/kernels/depthwise_conv/depthwise_conv.inc"
#undef AIO_DEPTHWISE_CONV

}  // namespace aio
