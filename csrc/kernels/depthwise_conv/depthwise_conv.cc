// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/depthwise_conv/depthwise_conv.h"

namespace aio {
namespace {

constexpr DepthwiseConvKernel kKernels[] = {
#define AIO_DEPTHWISE_CONV(isa, suffix, cols)               \
  {"depthwise_conv_f32_1x" #cols "x16_" #suffix, isa, cols, \
   depthwise_conv_f32_1x##cols##x16_##suffix},
#include "csrc/kernels/depthwise_conv/depthwise_conv.inc"
#undef AIO_DEPTHWISE_CONV
};

}  // namespace

const DepthwiseConvKernel* depthwise_conv_kernels(size_t* count) {
  *count = sizeof(kKernels) / sizeof(kKernels[0]);
  return kKernels;
}

const DepthwiseConvKernel* select_depthwise_conv(Isa isa) {
  for (const DepthwiseConvKernel& kernel : kKernels) {
    if (kernel.isa == isa) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
