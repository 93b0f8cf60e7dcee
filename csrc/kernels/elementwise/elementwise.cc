// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/elementwise/elementwise.h"

namespace aio {
namespace {

constexpr ElementwiseKernel kKernels[] = {
#define AIO_ELEMENTWISE(isa, suffix) {"elementwise_f32_" #suffix, isa, elementwise_f32_##suffix},
#include "csrc/kernels/elementwise/elementwise.inc"
#undef AIO_ELEMENTWISE
};

}  // namespace

const ElementwiseKernel* select_elementwise(Isa isa) {
  for (const ElementwiseKernel& kernel : kKernels) {
    if (kernel.isa == isa) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
