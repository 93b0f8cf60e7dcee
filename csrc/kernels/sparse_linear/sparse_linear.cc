// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_linear/sparse_linear.h"

namespace aio {
namespace {

constexpr SparseLinearKernel kKernels[] = {
#define AIO_SPARSE_LINEAR(isa, suffix, height) \
  {"sparse_linear_f32_1x" #height "_" #suffix, \
   isa,                                        \
   {height, WeightType::kFloat32},             \
   sparse_linear_f32_1x##height##_##suffix},
#include "csrc/kernels/sparse_linear/sparse_linear.inc"
#undef AIO_SPARSE_LINEAR
};

}  // namespace

const SparseLinearKernel* select_sparse_linear(Isa isa, const BlockLayout& layout) {
  for (const SparseLinearKernel& kernel : kKernels) {
    if (kernel.isa == isa && kernel.layout == layout) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
