// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/softmax/softmax.h"

namespace aio {
namespace {

constexpr SoftmaxKernel kKernels[] = {
#define AIO_SOFTMAX(isa, suffix) {"softmax_f32_" #suffix, isa, softmax_f32_##suffix},
#include "csrc/kernels/softmax/softmax.inc"
#undef AIO_SOFTMAX
};

}  // namespace

const SoftmaxKernel* select_softmax(Isa isa) {
  for (const SoftmaxKernel& kernel : kKernels) {
    if (kernel.isa == isa) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
