// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/tiling.h"

#include <algorithm>
#include <random>
#include <vector>

#include "csrc/base/check.h"

namespace {

using Shapes = std::vector<aio::TileShape>;

// As long as a tile's pixels, but never less than four of them take, and a little for each tile.
aio::TileShape shape(int rows, int cols) {
  return {rows, cols, std::max(4.0, 1.0 * rows * cols) + 0.35};
}

Shapes six_pixels() {
  Shapes shapes;
  for (int cols = 1; cols <= 6; ++cols) shapes.push_back(shape(1, cols));
  for (int cols = 1; cols <= 3; ++cols) shapes.push_back(shape(2, cols));
  for (int cols = 1; cols <= 2; ++cols) shapes.push_back(shape(3, cols));
  shapes.push_back(shape(4, 1));
  return shapes;
}

double cost(const std::vector<aio::PlacedShape>& tiles, const Shapes& shapes) {
  double sum = 0.0;
  for (const auto& tile : tiles) {
    const auto found = std::find_if(shapes.begin(), shapes.end(), [&](const aio::TileShape& s) {
      return s.rows == tile.rows && s.cols == tile.cols;
    });
    AIO_CHECK(found != shapes.end());
    sum += found->cost;
  }
  return sum;
}

void check_cover(int height, int width, const Shapes& shapes) {
  std::vector<int> covered(static_cast<size_t>(height) * static_cast<size_t>(width), 0);
  const auto tiles = aio::tile_image(height, width, shapes);
  int last_row = 0;
  for (const auto& tile : tiles) {
    AIO_CHECK(tile.row >= last_row);
    last_row = tile.row;
    AIO_CHECK(tile.row >= 0 && tile.row + tile.rows <= height);
    AIO_CHECK(tile.col >= 0 && tile.col + tile.cols <= width);
    for (int y = tile.row; y < tile.row + tile.rows; ++y) {
      for (int x = tile.col; x < tile.col + tile.cols; ++x) {
        ++covered[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)];
      }
    }
  }
  AIO_CHECK(std::all_of(covered.begin(), covered.end(), [](int n) { return n == 1; }));
  AIO_CHECK(cost(tiles, shapes) > 0.0);  // known shapes only
}

void test_every_pixel_is_covered_once() {
  std::mt19937 random = aio::make_generator();
  for (int side = 1; side <= 20; ++side) check_cover(side, side, six_pixels());
  for (int i = 0; i < 200; ++i) {
    check_cover(1 + static_cast<int>(random() % 70), 1 + static_cast<int>(random() % 70),
                six_pixels());
  }
  check_cover(16384, 1, six_pixels());
  check_cover(1, 16384, six_pixels());
  check_cover(3, 5, {{1, 1, 1.0}});
}

void test_seven_by_seven_is_a_pinwheel() {
  const Shapes shapes = six_pixels();
  const auto tiles = aio::tile_image(7, 7, shapes);
  AIO_CHECK(tiles.size() == 9);  // eight of six pixels, one of one
  AIO_CHECK(cost(tiles, shapes) < 8 * 6.35 + 4.36);
}

void test_large_images_are_almost_all_six_pixels() {
  const Shapes shapes = six_pixels();
  for (const int side : {14, 28, 56, 112, 224}) {
    const double least = side * side * 6.35 / 6;
    AIO_CHECK(cost(aio::tile_image(side, side, shapes), shapes) < 1.01 * least);
  }
}

}  // namespace

int main() {
  test_every_pixel_is_covered_once();
  test_seven_by_seven_is_a_pinwheel();
  test_large_images_are_almost_all_six_pixels();
  return aio::finish_checks();
}
