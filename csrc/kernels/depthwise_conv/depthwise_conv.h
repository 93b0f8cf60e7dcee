// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolution, fp32: each output channel reads its own input channel. Activations are
// NHWC with a zero halo, so that no tap needs a bounds check; a block is 16 channels x 1 tap, and a
// level keeps some of the taps.
#ifndef AIO_CSRC_KERNELS_DEPTHWISE_CONV_DEPTHWISE_CONV_H_
#define AIO_CSRC_KERNELS_DEPTHWISE_CONV_DEPTHWISE_CONV_H_

#include <cstddef>
#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"

namespace aio {

// A rectangle of rows x cols output pixels of one block of 16 channels. Strides count floats.
struct DepthwiseConvRegion {
  int32_t rows;
  int32_t cols;
  const float* in;         // tap (0, 0) of the first pixel, at the block's first channel
  ptrdiff_t in_row;        // between the inputs of vertically adjacent output pixels
  ptrdiff_t in_col;        // between the inputs of horizontally adjacent output pixels
  const float* values;     // nnz x 16 weights in packed order (see sparse_conv/pack.h)
  const int32_t* offsets;  // nnz distances of taps from `in`, in floats
  int32_t nnz;             // kept taps of this block at this level; may be 0
  const float* scale;      // 16
  const float* bias;       // 16
  const float* residual;   // added before the activation, laid out as `out`; null for none
  ptrdiff_t residual_row;
  ptrdiff_t residual_col;
  float* out;  // 16 channels of the first pixel
  ptrdiff_t out_row;
  ptrdiff_t out_col;
  Activation activation;
};

// out(m, n) = act(scale(n) * sum_k W(n, k) * in(m, k, n) + bias(n) [+ residual(m, n)]), k over the
// kept taps in packed order: one FMA each on every vector ISA, which makes them bit-equal; scalar
// rounds the product too. Reads and writes all 16 channels. Requires rows, cols > 0 and that out
// overlaps neither in nor residual. No pointer needs alignment; 64 bytes are fastest.
using DepthwiseConvFn = void (*)(const DepthwiseConvRegion& region);

struct DepthwiseConvKernel {
  const char* name;  // depthwise_conv_f32_1x<cols>x16_<isa>
  Isa isa;
  int cols;  // pixels computed at once; what is left over in a row is split evenly
  DepthwiseConvFn fn;
};

// Every kernel of the table, compiled for this architecture.
const DepthwiseConvKernel* depthwise_conv_kernels(size_t* count);

// The kernel of an ISA; null if it has none here.
const DepthwiseConvKernel* select_depthwise_conv(Isa isa);

#define AIO_DEPTHWISE_CONV(isa, suffix, cols) \
  void depthwise_conv_f32_1x##cols##x16_##suffix(const DepthwiseConvRegion& region);
#include "csrc/kernels/depthwise_conv/depthwise_conv.inc"
#undef AIO_DEPTHWISE_CONV

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_DEPTHWISE_CONV_DEPTHWISE_CONV_H_
