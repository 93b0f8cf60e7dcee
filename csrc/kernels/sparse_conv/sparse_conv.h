// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse convolution, fp32. Activations are NHWC with a zero halo, so that no tap
// needs a bounds check; a block is 16 output channels x 1 input element (one channel of one tap).
#ifndef AIO_CSRC_KERNELS_SPARSE_CONV_SPARSE_CONV_H_
#define AIO_CSRC_KERNELS_SPARSE_CONV_SPARSE_CONV_H_

#include <cstddef>
#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"

namespace aio {

constexpr int kBlockHeight = 16;  // output channels per block: nr of every kernel

// One tile of rows x cols output pixels by one block of 16 output channels. Strides count floats.
struct SparseConvTile {
  const float* in;          // tap (0, 0), channel 0 of the tile's first pixel
  ptrdiff_t in_row;         // between the inputs of vertically adjacent output pixels
  ptrdiff_t in_col;         // between the inputs of horizontally adjacent output pixels
  const float* values;      // nnz x 16 weights in packed order
  const int32_t* offsets;   // nnz distances from `in`, in floats
  int32_t nnz;              // kept elements of this block at this level; may be 0
  const char* prefetch;     // fetched into L2 meanwhile, such as the next block's weights
  ptrdiff_t prefetch_step;  // bytes further per kept element; may be 0
  const float* scale;       // 16
  const float* bias;        // 16
  const float* residual;    // added before the activation, laid out as `out`; null for none
  ptrdiff_t residual_row;
  ptrdiff_t residual_col;
  float* out;  // 16 channels of the tile's first pixel
  ptrdiff_t out_row;
  ptrdiff_t out_col;
  Activation activation;
};

// out(m, n) = act(scale(n) * sum_k W(n, k) * in(m, k) + bias(n) [+ residual(m, n)]), k over the
// kept elements in packed order: one FMA each on every vector ISA, which makes them bit-equal;
// scalar rounds the product too. Requires that out overlaps neither in nor residual. No pointer
// needs alignment; values run fastest at 64 bytes.
using SparseConvFn = void (*)(const SparseConvTile& tile);

struct SparseConvKernel {
  const char* name;  // sparse_conv_f32_<rows>x<cols>x16_<isa>
  Isa isa;
  int rows;
  int cols;
  SparseConvFn fn;
};

// Every kernel of the table, compiled for this architecture.
const SparseConvKernel* sparse_conv_kernels(size_t* count);

// The kernel of exactly that tile, or null.
const SparseConvKernel* find_sparse_conv(Isa isa, int rows, int cols);

// The kernel to tile an output of height x width with: null only if `isa` has no kernel here. What
// the tiles leave over is done by smaller kernels of the same ISA: any cols up to the chosen one
// exists for 1 row.
const SparseConvKernel* select_sparse_conv(int height, int width, Isa isa);

#define AIO_SPARSE_CONV(isa, suffix, rows, cols) \
  void sparse_conv_f32_##rows##x##cols##x16_##suffix(const SparseConvTile& tile);
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_SPARSE_CONV_H_
