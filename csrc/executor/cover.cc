// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/cover.h"

#include <algorithm>
#include <limits>
#include <map>

#include "csrc/executor/tiling.h"

namespace aio {
namespace {

// What of the L1 and the L2 cache one operand may take; the smallest ones of current cores are 32
// and 512 KiB.
constexpr int64_t kNearBytes = 16 * 1024;
constexpr int64_t kCacheBytes = 256 * 1024;
constexpr int64_t kPartPixels = 192;
// A near tile has no fewer pixels than this: each would wait for its own multiply-adds, and every
// weight would be read more often.
constexpr int64_t kMinNearPixels = 8;
// From this density on every cache line of a large tile's inputs serves so many elements that
// fetching it from L2 once per block costs nothing.
constexpr double kNearDensity = 0.55;

// Cycles a tile takes per kept element: two multiply-adds each, but with fewer than eight
// accumulators each waits for the one before it (4 cycles); two loads each, of the weights, a
// prefetch and every pixel's input; and what a tile costs besides, about 50 cycles for its some 150
// elements. Of equal tiles the squarer one reads fewer inputs.
double tile_cycles(const SparseConvKernel& kernel) {
  const int pixels = kernel.rows * kernel.cols;
  const int vectors = std::max(1, kernel.layout.height / vector_floats(kernel.isa));
  const double accumulators = 1.0 * pixels * vectors;
  const double loads = pixels + vectors + 1;
  return std::max({accumulators, 8.0, loads}) / 2 + 0.35 + 0.01 * (kernel.rows + kernel.cols);
}

bool has_taps(const ConvOperands& operands) {
  return operands.window.kernel_h * operands.window.kernel_w > 1;
}

// Chunks whose inputs for a near tile stay in L1.
int near_pass(const ConvOperands& operands) {
  if (operands.chunk_channels == 0) return 1;
  const int64_t chunk_bytes = kMinNearPixels * operands.chunk_channels * 4;
  return static_cast<int>(std::max<int64_t>(1, kNearBytes / chunk_bytes));
}

int64_t near_pixels(const ConvOperands& operands) {
  const int64_t chunk =
      operands.chunk_channels == 0 ? operands.in_channels : operands.chunk_channels;
  const int64_t channels = std::min<int64_t>(near_pass(operands) * chunk, operands.in_channels);
  return std::max(kMinNearPixels, kNearBytes / (channels * 4));
}

// Their kernel of most pixels.
int64_t widest_tile(const ConvOperands& operands, Isa isa) {
  size_t count = 0;
  const SparseConvKernel* const kernels = sparse_conv_kernels(&count);
  int64_t pixels = 0;
  for (const SparseConvKernel* k = kernels; k != kernels + count; ++k) {
    const bool fits = k->isa == isa && k->layout == operands.layer->packed().layout;
    if (fits) pixels = std::max(pixels, int64_t{k->rows} * k->cols);
  }
  return pixels;
}

void add_tile(const ConvOperands& operands, const PlacedShape& shape,
              const SparseConvKernel& kernel, Cover* cover) {
  const BufferLayout& in = operands.in;
  const Window2d& w = operands.window;
  PlacedTile tile;
  tile.fn = kernel.fn;
  tile.row = shape.row;
  tile.rows = kernel.rows;
  tile.cols = kernel.cols;
  tile.in = (ptrdiff_t{shape.row} * w.stride_h - w.pad_top) * in.row() +
            (ptrdiff_t{shape.col} * w.stride_w - w.pad_left) * in.col();
  tile.out = shape.row * operands.out.row() + shape.col * operands.out.col();
  tile.residual = shape.row * operands.residual.row() + shape.col * operands.residual.col();
  cover->tiles.push_back(tile);
}

void find_runs(const ConvOperands& operands, std::vector<PlacedTile>* tiles) {
  for (size_t i = tiles->size() - 1; i > 0; --i) {
    PlacedTile& left = (*tiles)[i - 1];
    const PlacedTile& right = (*tiles)[i];
    const int64_t step = left.cols * operands.out.col();
    if (left.fn == right.fn && left.row == right.row && right.out - left.out == step) {
      left.run = right.run + 1;
    }
  }
}

Cover cover_rows(const ConvOperands& operands, Isa isa, int rows, int64_t max_pixels) {
  const BlockLayout& layout = operands.layer->packed().layout;
  std::vector<TileShape> shapes;
  size_t count = 0;
  const SparseConvKernel* kernels = sparse_conv_kernels(&count);
  for (const SparseConvKernel* kernel = kernels; kernel != kernels + count; ++kernel) {
    if (kernel->isa != isa || !(kernel->layout == layout)) continue;
    if (kernel->rows * kernel->cols > max_pixels) continue;
    shapes.push_back({kernel->rows, kernel->cols, tile_cycles(*kernel)});
  }
  Cover cover;
  int64_t most_pixels = 0;
  std::map<const SparseConvKernel*, int64_t> pixels;
  for (const PlacedShape& shape : tile_image(rows, operands.out.width, shapes)) {
    const SparseConvKernel* kernel = find_sparse_conv(isa, layout, shape.rows, shape.cols);
    add_tile(operands, shape, *kernel, &cover);
    const int64_t sum = pixels[kernel] += int64_t{shape.rows} * shape.cols;
    if (sum > most_pixels) cover.kernel = kernel;
    most_pixels = std::max(most_pixels, sum);
  }
  find_runs(operands, &cover.tiles);
  return cover;
}

// Tiles that all blocks pass before the next ones begin. The fewer, the nearer their inputs stay
// while the blocks pass; the more, the less often a block's weights are fetched and set up. Where
// several taps share the inputs, what fits in L2 was fastest, up to some rows (by up to 15 % over
// one tile). A 1x1 kernel reads each input once per block, so they should stay in L1, if those of
// one tile do at all (by up to 40 %).
int64_t choose_part(const ConvOperands& operands, const Cover& cover) {
  const Window2d& w = operands.window;
  const int64_t pixel_bytes = operands.in.col() * 4;
  const int64_t tile_pixels = int64_t{cover.kernel->rows} * cover.kernel->cols;
  const int64_t tile_bytes = tile_pixels * std::min(w.stride_h, w.kernel_h) *
                             std::min(w.stride_w, w.kernel_w) * pixel_bytes;
  const int64_t most =
      !has_taps(operands) && tile_bytes <= kNearBytes
          ? kNearBytes / tile_bytes
          : std::clamp<int64_t>(kCacheBytes / tile_bytes, 1, kPartPixels / tile_pixels + 1);
  // Equal parts, so that no small one reads all weights again.
  const int64_t tiles = static_cast<int64_t>(cover.tiles.size());
  const int64_t parts = std::max<int64_t>(1, (tiles + most / 2) / most);
  return (tiles + parts - 1) / parts;
}

}  // namespace

bool prefers_near(const ConvOperands& operands, Isa isa, double density) {
  if (has_taps(operands) || density > kNearDensity) return false;
  return widest_tile(operands, isa) * operands.in_channels * 4 > kNearBytes;
}

Cover cover_wide(const ConvOperands& operands, Isa isa, int rows) {
  Cover cover = cover_rows(operands, isa, rows, std::numeric_limits<int64_t>::max());
  cover.part = choose_part(operands, cover);
  cover.pass = operands.layer->packed().chunks;
  return cover;
}

Cover cover_near(const ConvOperands& operands, Isa isa, int rows) {
  Cover cover = cover_rows(operands, isa, rows, near_pixels(operands));
  cover.pass = near_pass(operands);
  return cover;
}

}  // namespace aio
