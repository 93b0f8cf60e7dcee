// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/layer_norm/layer_norm.h"

namespace aio {
namespace {

constexpr LayerNormKernel kKernels[] = {
#define AIO_LAYER_NORM(isa, suffix) {"layer_norm_f32_" #suffix, isa, layer_norm_f32_##suffix},
#include "csrc/kernels/layer_norm/layer_norm.inc"
#undef AIO_LAYER_NORM
};

}  // namespace

const LayerNormKernel* select_layer_norm(Isa isa) {
  for (const LayerNormKernel& kernel : kKernels) {
    if (kernel.isa == isa) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
