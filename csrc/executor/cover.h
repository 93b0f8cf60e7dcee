// SPDX-License-Identifier: Apache-2.0
//
// How a convolution's output, or some rows of it, is covered with tiles of the sparse kernels, and
// in which order the tiles are computed.
#ifndef AIO_CSRC_EXECUTOR_COVER_H_
#define AIO_CSRC_EXECUTOR_COVER_H_

#include <cstdint>
#include <vector>

#include "csrc/base/isa.h"
#include "csrc/executor/conv_operands.h"
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {

// Where a tile's data starts, in floats from pixel (0, 0) of each buffer.
struct PlacedTile {
  SparseConvFn fn;
  int row;
  int rows;
  int cols;
  int64_t in;
  int64_t residual;
  int64_t out;
  int run = 1;  // this tile and those to the right that are like it and adjacent
};

struct Cover {
  const SparseConvKernel* kernel = nullptr;  // the one of most pixels
  std::vector<PlacedTile> tiles;
  // Tiles that all blocks pass before the next ones begin.
  int64_t part = 1;
  // Chunks of channels that all tiles pass before the next ones begin.
  int pass = 1;
};

// For levels that keep most elements: the largest tiles, which read each weight least often.
Cover cover_wide(const ConvOperands& operands, Isa isa, int rows);

// For sparse levels of a 1x1 kernel of many channels, whose elements lie one to a cache line: tiles
// so small that the L1 cache holds their inputs for all blocks, one pass of channels at a time.
Cover cover_near(const ConvOperands& operands, Isa isa, int rows);

// Whether the second is the faster one for a level that keeps `density` of the elements.
bool prefers_near(const ConvOperands& operands, Isa isa, double density);

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_COVER_H_
