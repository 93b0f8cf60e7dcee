// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {

constexpr SparseConvKernel kKernels[] = {
#define AIO_SPARSE_CONV(isa, suffix, rows, cols)                       \
  {"sparse_conv_f32_" #rows "x" #cols "x16_" #suffix, isa, rows, cols, \
   sparse_conv_f32_##rows##x##cols##x16_##suffix},
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV
};

}  // namespace

const SparseConvKernel* sparse_conv_kernels(size_t* count) {
  *count = sizeof(kKernels) / sizeof(kKernels[0]);
  return kKernels;
}

const SparseConvKernel* find_sparse_conv(Isa isa, int rows, int cols) {
  for (const SparseConvKernel& kernel : kKernels) {
    if (kernel.isa == isa && kernel.rows == rows && kernel.cols == cols) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
