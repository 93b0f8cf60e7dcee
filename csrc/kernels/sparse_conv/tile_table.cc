// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/tile_table.h"

#include <algorithm>

namespace aio {
namespace {

int count_tiles(int length, int limit) { return (length + limit - 1) / limit; }

}  // namespace

int TileTable::widest(Isa isa, int rows) const {
  int cols = 0;
  for (size_t i = 0; i < count; ++i) {
    if (kernels[i].isa == isa && kernels[i].rows == rows) cols = std::max(cols, kernels[i].cols);
  }
  return cols;
}

const SparseConvKernel* TileTable::find(Isa isa, int rows, int cols) const {
  const auto fits = [&](const SparseConvKernel& kernel) {
    return kernel.isa == isa && kernel.rows == rows && kernel.cols == cols;
  };
  const SparseConvKernel* found = std::find_if(kernels, kernels + count, fits);
  return found == kernels + count ? nullptr : found;
}

const SparseConvKernel* TileTable::select(int height, int width, Isa isa) const {
  const SparseConvKernel* best = nullptr;
  int best_rows = 0;
  int best_tiles = 1;
  for (const int rows : {1, 2, 3, 4}) {
    const int limit = this->widest(isa, rows);
    if (rows > height || limit == 0) continue;
    const int tiles = count_tiles(width, limit);
    // Pixels per tile are rows * width / tiles on average. Where two shapes tie, the one with fewer
    // rows has fewer rows left over at the bottom.
    if (rows * best_tiles <= best_rows * tiles) continue;
    best = find(isa, rows, count_tiles(width, tiles));
    best_rows = rows;
    best_tiles = tiles;
  }
  return best;
}

}  // namespace aio
