// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolution, fp32: each output channel reads its own input channel. Activations and
// tiles are those of sparse_conv, so that one executor serves both; a block is 16 channels x 1 tap,
// and a level keeps some of the taps.
#ifndef AIO_CSRC_KERNELS_DEPTHWISE_CONV_DEPTHWISE_CONV_H_
#define AIO_CSRC_KERNELS_DEPTHWISE_CONV_DEPTHWISE_CONV_H_

#include <cstddef>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {

// As SparseConvFn computes it, but each channel from its own:
//
// out(m, n) = act(scale(n) * sum_k W(n, k) * in(m, k, n) + bias(n) [+ residual(m, n)]), k over the
// kept taps in packed order: one FMA each on every vector ISA, which makes them bit-equal; scalar
// rounds the product too.
//
// Of the tile, `in` points to the block's first channel (of tap (0, 0) of the first pixel), whose
// 16 channels are all read; values are nnz x 16 weights; `prefetch` is not used, because a block's
// weights are few.
//
// Every kernel of the table, compiled for this architecture:
// depthwise_conv_f32_<rows>x<cols>x16_<isa>.
const SparseConvKernel* depthwise_conv_kernels(size_t* count);

// The kernel of exactly that tile, or null.
const SparseConvKernel* find_depthwise_conv(Isa isa, int rows, int cols);

// The kernel to tile an output with, by the rule of select_sparse_conv().
const SparseConvKernel* select_depthwise_conv(int height, int width, Isa isa);

#define AIO_DEPTHWISE_CONV(isa, suffix, rows, cols) \
  void depthwise_conv_f32_##rows##x##cols##x16_##suffix(const SparseConvTile& tile);
#include "csrc/kernels/depthwise_conv/depthwise_conv.inc"
#undef AIO_DEPTHWISE_CONV

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_DEPTHWISE_CONV_DEPTHWISE_CONV_H_
