// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/upsample/upsample.h"

namespace aio {
namespace {

constexpr UpsampleKernel kKernels[] = {
#define AIO_UPSAMPLE(isa, suffix) {"upsample_f32_" #suffix, isa, upsample_f32_##suffix},
#include "csrc/kernels/upsample/upsample.inc"
#undef AIO_UPSAMPLE
};

}  // namespace

const UpsampleKernel* select_upsample(Isa isa) {
  for (const UpsampleKernel& kernel : kKernels) {
    if (kernel.isa == isa) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
