// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/sparse_conv.h"

#include "csrc/kernels/sparse_conv/tile_table.h"

namespace aio {
namespace {

constexpr SparseConvKernel kKernels[] = {
#define AIO_SPARSE_CONV(isa, suffix, rows, cols)                       \
  {"sparse_conv_f32_" #rows "x" #cols "x16_" #suffix, isa, rows, cols, \
   sparse_conv_f32_##rows##x##cols##x16_##suffix},
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV
};

constexpr TileTable kTable{kKernels, sizeof(kKernels) / sizeof(kKernels[0])};

}  // namespace

const SparseConvKernel* sparse_conv_kernels(size_t* count) {
  *count = kTable.count;
  return kTable.kernels;
}

const SparseConvKernel* find_sparse_conv(Isa isa, int rows, int cols) {
  return kTable.find(isa, rows, cols);
}

const SparseConvKernel* select_sparse_conv(int height, int width, Isa isa) {
  return kTable.select(height, width, isa);
}

}  // namespace aio
