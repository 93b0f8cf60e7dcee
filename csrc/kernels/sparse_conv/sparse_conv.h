// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse convolution, fp32. Activations are NHWC with a zero halo, so that no tap
// needs a bounds check; blocks are those of kernels/block_layout.h.
#ifndef AIO_CSRC_KERNELS_SPARSE_CONV_SPARSE_CONV_H_
#define AIO_CSRC_KERNELS_SPARSE_CONV_SPARSE_CONV_H_

#include <cstddef>
#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"
#include "csrc/kernels/block_layout.h"
#include "csrc/kernels/sparse_conv/packed_offsets.h"

namespace aio {

// Kept elements that lie one after the other.
struct SparseConvSpan {
  const float* values;      // nnz x block height, weights in packed order
  const char* offsets;      // nnz distances from the tile's `in`, in floats
  const char* end;          // of the offsets; nnz may be 0
  const char* prefetch;     // fetched into L2 meanwhile, such as the next block's weights
  ptrdiff_t prefetch_step;  // bytes further per kept element; may be 0
  ptrdiff_t prefetch_tile;  // bytes further per tile
};

// One tile of rows x cols output pixels by one block of output channels. Strides count floats.
struct SparseConvTile {
  const float* in;              // tap (0, 0), channel 0 of the first tile's first pixel
  ptrdiff_t in_row;             // between the inputs of vertically adjacent output pixels
  ptrdiff_t in_col;             // between the inputs of horizontally adjacent output pixels
  const SparseConvSpan* spans;  // the block's kept elements
  int span_count;
  OffsetWidth offset_width;
  const float* scale;     // block height
  const float* bias;      // block height
  const float* residual;  // added before the activation, laid out as `out`; null for none
  ptrdiff_t residual_row;
  ptrdiff_t residual_col;
  float* out;  // the block's channels of the first tile's first pixel
  ptrdiff_t out_row;
  ptrdiff_t out_col;
  Activation activation;
  // A sum over many spans can be made in passes: `out` holds it between them, as it is, and what
  // is said of scale to activation applies when it is complete.
  bool resumes;     // starts from what `out` holds, else from 0
  bool pauses;      // leaves the bare sum in `out`
  ptrdiff_t count;  // of tiles, each so far from the one before it:
  ptrdiff_t in_step;
  ptrdiff_t residual_step;
  ptrdiff_t out_step;
};

// out(m, n) = act(scale(n) * sum_k W(n, k) * in(m, k) + bias(n) [+ residual(m, n)]), k over the
// kept elements in packed order: one FMA each on every vector ISA, which makes them bit-equal;
// scalar rounds the product too. Requires that out overlaps neither in nor residual. No pointer
// needs alignment; values run fastest at 4 x block height bytes.
using SparseConvFn = void (*)(const SparseConvTile& tile);

struct SparseConvKernel {
  const char* name;  // sparse_conv_f32_<rows>x<cols>x<height>_<isa>
  Isa isa;
  BlockLayout layout;
  int rows;
  int cols;
  SparseConvFn fn;
};

// Every kernel of the table, compiled for this architecture: per ISA and layout any cols up to its
// widest one for 1 row, so that any image can be covered.
const SparseConvKernel* sparse_conv_kernels(size_t* count);

// The kernel of exactly that tile, or null.
const SparseConvKernel* find_sparse_conv(Isa isa, const BlockLayout& layout, int rows, int cols);

// Whether there are kernels for the layout; if so, every ISA has them.
bool has_sparse_conv(const BlockLayout& layout);

#define AIO_SPARSE_CONV(isa, suffix, height, rows, cols) \
  void sparse_conv_f32_##rows##x##cols##x##height##_##suffix(const SparseConvTile& tile);
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_SPARSE_CONV_H_
