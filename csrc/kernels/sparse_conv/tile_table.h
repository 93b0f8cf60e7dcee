// SPDX-License-Identifier: Apache-2.0
//
// A table of kernels that differ in their tiles, and how the tile for an output is chosen from it.
#ifndef AIO_CSRC_KERNELS_SPARSE_CONV_TILE_TABLE_H_
#define AIO_CSRC_KERNELS_SPARSE_CONV_TILE_TABLE_H_

#include <cstddef>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {

struct TileTable {
  const SparseConvKernel* kernels;
  size_t count;

  // The kernel of exactly that tile, or null.
  const SparseConvKernel* find(Isa isa, int rows, int cols) const;

  // The kernel to tile an output of height x width with; null only if `isa` has no kernel here.
  const SparseConvKernel* select(int height, int width, Isa isa) const;

 private:
  // The widest tile of the ISA with that many rows; 0 if there is none.
  int widest(Isa isa, int rows) const;
};

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_TILE_TABLE_H_
