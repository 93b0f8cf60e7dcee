// SPDX-License-Identifier: Apache-2.0
//
// Covers an image with tiles of given shapes so that the kernels take the least time: small images
// leave over much at their edges where one shape alone is used.
#ifndef AIO_CSRC_EXECUTOR_TILING_H_
#define AIO_CSRC_EXECUTOR_TILING_H_

#include <vector>

namespace aio {

struct TileShape {
  int rows;
  int cols;
  double cost;  // of one tile, in any unit
};

struct PlacedShape {
  int row;
  int col;
  int rows;
  int cols;
};

// Tiles that cover each pixel of height x width exactly once, from top to bottom and, within a row,
// from left to right. `shapes` must contain 1x1.
std::vector<PlacedShape> tile_image(int height, int width, const std::vector<TileShape>& shapes);

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_TILING_H_
