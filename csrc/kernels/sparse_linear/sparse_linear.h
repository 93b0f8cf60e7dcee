// SPDX-License-Identifier: Apache-2.0
//
// Nested block-sparse matrix-vector product, fp32: one block of outputs of a linear layer.
// Weights are packed by pack_nested(), as for convolution. One output has no second pixel to hide
// the FMA latency behind, so the kept elements are dealt to four accumulators.
#ifndef AIO_CSRC_KERNELS_SPARSE_LINEAR_SPARSE_LINEAR_H_
#define AIO_CSRC_KERNELS_SPARSE_LINEAR_SPARSE_LINEAR_H_

#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"
#include "csrc/kernels/block_layout.h"
#include "csrc/kernels/sparse_conv/packed_offsets.h"

namespace aio {

struct SparseLinearBlock {
  const float* in;
  const float* values;  // nnz x block height
  const char* offsets;  // nnz, in floats from `in`
  OffsetWidth offset_width;
  int32_t nnz;
  const float* scale;     // block height
  const float* bias;      // block height
  const float* residual;  // block height, added before the activation; null for none
  float* out;             // block height
  Activation activation;
};

// out(n) = act(scale(n) * sum_k W(n, k) * in(k) + bias(n) [+ residual(n)]). Element j goes to
// accumulator j mod 4 and the sum is (a0 + a1) + (a2 + a3), on every ISA: the vector ISAs are
// bit-equal.
using SparseLinearFn = void (*)(const SparseLinearBlock& block);

struct SparseLinearKernel {
  const char* name;  // sparse_linear_f32_1x<height>_<isa>
  Isa isa;
  BlockLayout layout;
  SparseLinearFn fn;
};

// The kernel for the layout, or null.
const SparseLinearKernel* select_sparse_linear(Isa isa, const BlockLayout& layout);

#define AIO_SPARSE_LINEAR(isa, suffix, height) \
  void sparse_linear_f32_1x##height##_##suffix(const SparseLinearBlock& block);
#include "csrc/kernels/sparse_linear/sparse_linear.inc"
#undef AIO_SPARSE_LINEAR

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_LINEAR_SPARSE_LINEAR_H_
