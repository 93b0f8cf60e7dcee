// SPDX-License-Identifier: Apache-2.0
//
// Addition and activations that could not be fused into a layer. The vector ISAs are bit-equal.
#ifndef AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
#define AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_

#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"

namespace aio {

struct Elementwise {
  const float* a;
  const float* b;  // null: only the activation
  float* out;      // may be a or b
  int64_t count;   // a multiple of 16
  Activation activation;
  float negative_slope;  // of leaky ReLU
};

// out = act(a [+ b]). The errors of the smooth activations are stated in vec16/smooth.inc.
using ElementwiseFn = void (*)(const Elementwise& work);

struct ElementwiseKernel {
  const char* name;  // elementwise_f32_<isa>
  Isa isa;
  ElementwiseFn fn;
};

const ElementwiseKernel* select_elementwise(Isa isa);

#define AIO_ELEMENTWISE(isa, suffix) void elementwise_f32_##suffix(const Elementwise& work);
#include "csrc/kernels/elementwise/elementwise.inc"
#undef AIO_ELEMENTWISE

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
