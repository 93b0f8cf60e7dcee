// SPDX-License-Identifier: Apache-2.0
//
// Layer normalisation of a group of values: a sample, or the channels of a pixel. The vector ISAs
// are bit-equal.
#ifndef AIO_CSRC_KERNELS_LAYER_NORM_LAYER_NORM_H_
#define AIO_CSRC_KERNELS_LAYER_NORM_LAYER_NORM_H_

#include <cstddef>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"

namespace aio {

// Strides count floats. Weights and biases are whole blocks of 16 channels, so they can be read up
// to a multiple of 16.
struct LayerNorm {
  int height;
  int width;
  int channels;  // those beyond are not looked at; up to a multiple of 16, they are written
  const float* in;
  ptrdiff_t in_row;
  ptrdiff_t in_col;
  float* out;
  ptrdiff_t out_row;
  ptrdiff_t out_col;
  const float* weight;
  const float* bias;
  ptrdiff_t weight_row;  // of weight and bias
  ptrdiff_t weight_col;
  float eps;
};

// out = (in - mean) / sqrt(variance + eps) * weight + bias, mean and variance over all pixels and
// channels; the variance divides by their number (Ba, Kiros and Hinton, Layer Normalization, 2016).
// The sums of a row are in fp32, those of the rows in fp64.
using LayerNormFn = void (*)(const LayerNorm& work);

struct LayerNormKernel {
  const char* name;  // layer_norm_f32_<isa>
  Isa isa;
  LayerNormFn fn;
};

const LayerNormKernel* select_layer_norm(Isa isa);

#define AIO_LAYER_NORM(isa, suffix) void layer_norm_f32_##suffix(const LayerNorm& work);
#include "csrc/kernels/layer_norm/layer_norm.inc"
#undef AIO_LAYER_NORM

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_LAYER_NORM_LAYER_NORM_H_
