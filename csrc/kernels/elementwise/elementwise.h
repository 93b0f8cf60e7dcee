// SPDX-License-Identifier: Apache-2.0
//
// Element-wise operators that could not be fused into a layer. The vector ISAs are bit-equal.
#ifndef AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
#define AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_

#include <cstddef>
#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"

namespace aio {

enum class ElementwiseOp { kCopy, kAdd, kMul, kAffine };

// Pixels of a row. An operand whose pixels are 0 apart is broadcast over them; a row without gaps
// can be passed as one long pixel.
struct Elementwise {
  ElementwiseOp op;
  const float* a;
  const float* b;  // kAdd, kMul, kAffine
  const float* c;  // kAffine, broadcast
  float* out;      // may be a or b
  int64_t pixels;
  int64_t channels;  // a multiple of 16
  ptrdiff_t a_col;   // floats between pixels
  ptrdiff_t b_col;
  ptrdiff_t out_col;
  Activation activation;
  float negative_slope;  // of leaky ReLU
};

// out = act(a), act(a + b), act(a * b) or act(a * b + c). The errors of the smooth activations are
// stated in vec16/smooth.inc.
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
