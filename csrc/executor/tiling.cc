// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/tiling.h"

#include <algorithm>
#include <limits>

namespace aio {
namespace {

// Up to this side any straight cut is tried; beyond, pieces as high or wide as a tile are cut off.
constexpr int kMaxFreeSide = 16;
// Up to this side pinwheels are tried: four rectangles around a fifth, which no straight cut makes.
// A 7x7 image is four of 3x4 around one pixel: eight tiles of six pixels and one of one.
constexpr int kMaxPinwheelSide = 9;

// How the cheapest cover of a rectangle begins.
struct Cut {
  enum Kind { kTile, kRows, kCols, kPinwheel };
  double cost = std::numeric_limits<double>::infinity();
  Kind kind = kTile;
  int row = 0;   // first row of the lower part; of a pinwheel, the height of its upper left part
  int col = 0;   // first column of the right part; of a pinwheel, the width of its upper left part
  int row2 = 0;  // of a pinwheel, the height of its upper right part
  int col2 = 0;  // of a pinwheel, the width of its lower left part
};

class Tiler {
 public:
  Tiler(int height, int width, const std::vector<TileShape>& shapes)
      : height_(height), width_(width), shapes_(shapes) {
    for (const TileShape& shape : shapes) {
      tallest_ = std::max(tallest_, shape.rows);
      widest_ = std::max(widest_, shape.cols);
    }
    const int low = std::min(height, kMaxFreeSide);
    cuts_.resize(static_cast<size_t>(low) * static_cast<size_t>(width));
    high_cuts_.resize(static_cast<size_t>(height - low));
    for (int h = 1; h <= low; ++h) {
      for (int w = 1; w <= width; ++w) at(h, w) = cut_low(h, w);
    }
    for (int h = low + 1; h <= height; ++h) at(h, width) = cut_rows(h, width, tallest_);
  }

  std::vector<PlacedShape> place() const {
    std::vector<PlacedShape> placed;
    place(0, 0, height_, width_, &placed);
    std::sort(placed.begin(), placed.end(), [](const PlacedShape& a, const PlacedShape& b) {
      return a.row != b.row ? a.row < b.row : a.col < b.col;
    });
    return placed;
  }

 private:
  // Rectangles higher than kMaxFreeSide are as wide as the image.
  Cut& at(int h, int w) {
    const size_t row = static_cast<size_t>(h) - 1;
    if (h > kMaxFreeSide) return high_cuts_[row - kMaxFreeSide];
    return cuts_[row * static_cast<size_t>(width_) + static_cast<size_t>(w) - 1];
  }
  const Cut& at(int h, int w) const { return const_cast<Tiler*>(this)->at(h, w); }

  static void keep_cheaper(const Cut& cut, Cut* best) {
    if (cut.cost < best->cost) *best = cut;
  }

  Cut cut_low(int h, int w) {
    Cut best = cut_rows(h, w, h - 1);
    for (const TileShape& shape : shapes_) {
      if (shape.rows == h && shape.cols == w) keep_cheaper({shape.cost, Cut::kTile}, &best);
    }
    for (int col = 1; col <= (w <= kMaxFreeSide ? w - 1 : widest_); ++col) {
      keep_cheaper({at(h, col).cost + at(h, w - col).cost, Cut::kCols, 0, col}, &best);
    }
    if (h <= kMaxPinwheelSide && w <= kMaxPinwheelSide) cut_pinwheels(h, w, &best);
    return best;
  }

  Cut cut_rows(int h, int w, int highest) {
    Cut best;
    for (int row = 1; row <= highest; ++row) {
      keep_cheaper({at(row, w).cost + at(h - row, w).cost, Cut::kRows, row}, &best);
    }
    return best;
  }

  // Upper left row x col, upper right row2 x (w - col), lower right (h - row2) x (w - col2), lower
  // left (h - row) x col2, and what is left in the middle. The mirror image costs the same.
  void cut_pinwheels(int h, int w, Cut* best) {
    for (int row = 1; row < h; ++row) {
      for (int row2 = row + 1; row2 < h; ++row2) {
        for (int col2 = 1; col2 < w; ++col2) {
          for (int col = col2 + 1; col < w; ++col) {
            const double cost = at(row, col).cost + at(row2, w - col).cost +
                                at(h - row2, w - col2).cost + at(h - row, col2).cost +
                                at(row2 - row, col - col2).cost;
            keep_cheaper({cost, Cut::kPinwheel, row, col, row2, col2}, best);
          }
        }
      }
    }
  }

  void place(int row, int col, int h, int w, std::vector<PlacedShape>* placed) const {
    const Cut* cut = &at(h, w);
    // The lower and right parts here and not by recursion, which a high image would make deep.
    for (; cut->kind == Cut::kRows || cut->kind == Cut::kCols; cut = &at(h, w)) {
      if (cut->kind == Cut::kRows) {
        place(row, col, cut->row, w, placed);
        row += cut->row;
        h -= cut->row;
      } else {
        place(row, col, h, cut->col, placed);
        col += cut->col;
        w -= cut->col;
      }
    }
    if (cut->kind == Cut::kTile) {
      placed->push_back({row, col, h, w});
      return;
    }
    place(row, col, cut->row, cut->col, placed);
    place(row, col + cut->col, cut->row2, w - cut->col, placed);
    place(row + cut->row2, col + cut->col2, h - cut->row2, w - cut->col2, placed);
    place(row + cut->row, col, h - cut->row, cut->col2, placed);
    place(row + cut->row, col + cut->col2, cut->row2 - cut->row, cut->col - cut->col2, placed);
  }

  int height_;
  int width_;
  const std::vector<TileShape>& shapes_;
  int tallest_ = 1;
  int widest_ = 1;
  std::vector<Cut> cuts_;       // by height, up to kMaxFreeSide, and width
  std::vector<Cut> high_cuts_;  // by height beyond kMaxFreeSide
};

}  // namespace

std::vector<PlacedShape> tile_image(int height, int width, const std::vector<TileShape>& shapes) {
  return Tiler(height, width, shapes).place();
}

}  // namespace aio
