// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_linear/sparse_linear.h"

namespace aio {
namespace {

constexpr SparseLinearKernel kKernels[] = {
#define AIO_SPARSE_LINEAR(isa, suffix) \
  {"sparse_linear_f32_1x16_" #suffix, isa, sparse_linear_f32_1x16_##suffix},
#include "csrc/kernels/sparse_linear/sparse_linear.inc"
#undef AIO_SPARSE_LINEAR
};

}  // namespace

const SparseLinearKernel* select_sparse_linear(Isa isa) {
  for (const SparseLinearKernel& kernel : kKernels) {
    if (kernel.isa == isa) return &kernel;
  }
  return nullptr;
}

}  // namespace aio
