// SPDX-License-Identifier: Apache-2.0
//
// Softmax over the channels of pixels. The vector ISAs are bit-equal.
#ifndef AIO_CSRC_KERNELS_SOFTMAX_SOFTMAX_H_
#define AIO_CSRC_KERNELS_SOFTMAX_SOFTMAX_H_

#include <cstddef>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"

namespace aio {

struct SoftmaxRow {
  int pixels;
  int channels;  // those beyond are not looked at; up to a multiple of 16, they are written
  const float* in;
  ptrdiff_t in_col;  // floats between pixels
  float* out;
  ptrdiff_t out_col;
};

// out(c) = e^(in(c) - max) / sum over c of e^(in(c) - max), whatever the size of the inputs. What
// is below e^-87 of the largest is 0. A NaN or +inf among a pixel's channels, or nothing but -inf,
// makes all of them NaN, as in torch.
using SoftmaxFn = void (*)(const SoftmaxRow& row);

struct SoftmaxKernel {
  const char* name;  // softmax_f32_<isa>
  Isa isa;
  SoftmaxFn fn;
};

const SoftmaxKernel* select_softmax(Isa isa);

#define AIO_SOFTMAX(isa, suffix) void softmax_f32_##suffix(const SoftmaxRow& row);
#include "csrc/kernels/softmax/softmax.inc"
#undef AIO_SOFTMAX

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SOFTMAX_SOFTMAX_H_
