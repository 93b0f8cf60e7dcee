// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/sparse_conv.h"

#include <algorithm>

namespace aio {
namespace {

constexpr SparseConvKernel kKernels[] = {
#define AIO_SPARSE_CONV(isa, suffix, rows, cols)                       \
  {"sparse_conv_f32_" #rows "x" #cols "x16_" #suffix, isa, rows, cols, \
   sparse_conv_f32_##rows##x##cols##x16_##suffix},
#include "csrc/kernels/sparse_conv/sparse_conv.inc"
#undef AIO_SPARSE_CONV
};

int count_tiles(int length, int limit) { return (length + limit - 1) / limit; }

// The widest tile of the ISA with that many rows; 0 if there is none.
int widest_tile(Isa isa, int rows) {
  int widest = 0;
  for (const SparseConvKernel& kernel : kKernels) {
    if (kernel.isa == isa && kernel.rows == rows) widest = std::max(widest, kernel.cols);
  }
  return widest;
}

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

const SparseConvKernel* select_sparse_conv(int height, int width, Isa isa) {
  const SparseConvKernel* best = nullptr;
  int best_rows = 0;
  int best_tiles = 1;
  for (const int rows : {1, 2, 3, 4}) {
    const int widest = widest_tile(isa, rows);
    if (rows > height || widest == 0) continue;
    const int tiles = count_tiles(width, widest);
    // Pixels per tile are rows * width / tiles on average. Where two shapes tie, the one with fewer
    // rows has fewer rows left over at the bottom.
    if (rows * best_tiles <= best_rows * tiles) continue;
    best = find_sparse_conv(isa, rows, count_tiles(width, tiles));
    best_rows = rows;
    best_tiles = tiles;
  }
  return best;
}

}  // namespace aio
