// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolution, fp32, NEON (the baseline of aarch64). A block of 16 channels is four
// vectors.
//
// Tile      6 pixels: 24 of the 32 registers accumulate, four hold the weights.
// Reads     exactly the region's inputs; the halo makes bounds checks needless.
// Numerics  one FMA per kept tap in packed order, bit-equal to avx2_fma3 and avx512.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/depthwise_conv/depthwise_conv.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Over the Vec16 above.
#include "csrc/kernels/depthwise_conv/region.inc"
}  // namespace

#define AIO_DEFINE_neon(cols)                                                     \
  void depthwise_conv_f32_1x##cols##x16_neon(const DepthwiseConvRegion& region) { \
    depthwise_conv<cols>(region);                                                 \
  }
#define AIO_DEFINE_scalar(cols)
#define AIO_DEPTHWISE_CONV(isa, suffix, cols) AIO_DEFINE_##suffix(cols)
#include "csrc/kernels/depthwise_conv/depthwise_conv.inc"
#undef AIO_DEPTHWISE_CONV

}  // namespace aio

#endif  // __aarch64__
