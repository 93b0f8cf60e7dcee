// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolution, fp32, AVX-512. A block of 16 channels is one vector, which each FMA reads
// from memory.
//
// Tile      8 pixels: eight accumulators cover the FMA latency (4 cycles, 2 per cycle).
// Reads     exactly the region's inputs; the halo makes bounds checks needless.
// Numerics  one FMA per kept tap in packed order, bit-equal to avx2_fma3.
#if defined(__x86_64__)

#include <immintrin.h>

#include "csrc/kernels/depthwise_conv/depthwise_conv.h"

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
#include "csrc/kernels/depthwise_conv/region.inc"
}  // namespace

#define AIO_DEFINE_avx512(cols)                                                     \
  void depthwise_conv_f32_1x##cols##x16_avx512(const DepthwiseConvRegion& region) { \
    depthwise_conv<cols>(region);                                                   \
  }
#define AIO_DEFINE_avx2_fma3(cols)
#define AIO_DEFINE_scalar(cols)
#define AIO_DEPTHWISE_CONV(isa, suffix, cols) AIO_DEFINE_##suffix(cols)
#include "csrc/kernels/depthwise_conv/depthwise_conv.inc"
#undef AIO_DEPTHWISE_CONV

}  // namespace aio

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
