// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {

constexpr SparseConvKernel kKernels[] = {
#define AIO_SPARSE_CONV(isa, suffix, height, rows, cols)       \
  {"sparse_conv_f32_" #rows "x" #cols "x" #height "_" #suffix, \
   isa,                                                        \
   {height, WeightType::kFloat32},                             \
   rows,                                                       \
   cols,                                                       \
   sparse_conv_f32_##rows##x##cols##x##height##_##suffix},
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV
};

}  // namespace

const SparseConvKernel* sparse_conv_kernels(size_t* count) {
  *count = sizeof(kKernels) / sizeof(kKernels[0]);
  return kKernels;
}

const SparseConvKernel* find_sparse_conv(Isa isa, const BlockLayout& layout, int rows, int cols) {
  for (const SparseConvKernel& kernel : kKernels) {
    if (kernel.isa == isa && kernel.layout == layout && kernel.rows == rows &&
        kernel.cols == cols) {
      return &kernel;
    }
  }
  return nullptr;
}

bool has_sparse_conv(const BlockLayout& layout) {
  return find_sparse_conv(Isa::kScalar, layout, 1, 1) != nullptr;
}

}  // namespace aio
