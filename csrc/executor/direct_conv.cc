// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/direct_conv.h"

#include <algorithm>
#include <array>
#include <map>

#include "csrc/executor/tiling.h"

namespace aio {
namespace {

// Below this many multiply-adds a layer stays on one thread. Two threads took a layer of 1.3
// million from 23 to 19 us only, as its activations moved between the cores' caches, and made the
// latency several times less steady.
constexpr int64_t kMinParallelMacs = 2 * 1024 * 1024;
// More chunks than threads let one thread take over from another that was interrupted.
constexpr int kChunksPerThread = 4;
// With fewer tiles per chunk, threads would wait for the one that got a tile more, and each chunk
// reads all weights.
constexpr int kMinTilesPerChunk = 3;
// What of the L1 and the L2 cache one operand may take; the smallest ones of current cores are 32
// and 512 KiB.
constexpr int64_t kNearBytes = 16 * 1024;
constexpr int64_t kCacheBytes = 256 * 1024;
constexpr int64_t kPartPixels = 192;
constexpr ptrdiff_t kLineFloats = 16;  // of a cache line

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

}  // namespace

DirectConv::DirectConv(const ConvOperands& operands, int levels, Isa isa) : operands_(operands) {
  tile_output(isa);
  part_ = choose_part();
  for (int level = 0; level < levels; ++level) make_spans(level);
}

void DirectConv::run(const RunContext& context, int level, Range blocks) const {
  const BufferLayout& out = operands_.out;
  const int64_t macs = operands_.layer->total_nnz(level) * height() * out.height * out.width;
  const int64_t tiles = static_cast<int64_t>(tiles_.size());
  const int64_t chunks = int64_t{context.pool->threads()} * kChunksPerThread;
  // A thread that keeps to its own rows finds them in its own cache in the next layer.
  const bool by_tiles = tiles >= chunks * kMinTilesPerChunk;
  const int64_t count =
      macs < kMinParallelMacs ? 1 : std::min(chunks, by_tiles ? tiles : blocks.end - blocks.begin);
  const Job job{this, context.arena, level, blocks, by_tiles, count};
  context.pool->parallel_for(
      count, 1,
      [](const void* data, int64_t begin, int64_t end) {
        const Job* work = static_cast<const Job*>(data);
        for (int64_t chunk = begin; chunk < end; ++chunk) work->conv->run_chunk(*work, chunk);
      },
      &job);
}

void DirectConv::run_chunk(const Job& job, int64_t chunk) const {
  const auto part_of = [&](Range all) {
    const int64_t size = all.end - all.begin;
    return Range{all.begin + size * chunk / job.chunks,
                 all.begin + size * (chunk + 1) / job.chunks};
  };
  const Range tiles{0, static_cast<int64_t>(tiles_.size())};
  job.by_tiles ? run_range(job, part_of(tiles), job.blocks)
               : run_range(job, tiles, part_of(job.blocks));
}

double DirectConv::cost(int level) const {
  const double pixels = 1.0 * operands_.out.height * operands_.out.width;
  const double vectors = 1.0 * height() / kLanes;
  return static_cast<double>(operands_.layer->total_nnz(level)) * vectors * pixels / 0.97;
}

void DirectConv::tile_output(Isa isa) {
  const BlockLayout& layout = operands_.layer->packed().layout;
  std::vector<TileShape> shapes;
  size_t count = 0;
  const SparseConvKernel* kernels = sparse_conv_kernels(&count);
  for (const SparseConvKernel* kernel = kernels; kernel != kernels + count; ++kernel) {
    if (kernel->isa != isa || !(kernel->layout == layout)) continue;
    shapes.push_back({kernel->rows, kernel->cols, tile_cycles(*kernel)});
  }
  int64_t most_pixels = 0;
  std::map<const SparseConvKernel*, int64_t> pixels;
  for (const PlacedShape& shape : tile_image(operands_.out.height, operands_.out.width, shapes)) {
    const SparseConvKernel* kernel = find_sparse_conv(isa, layout, shape.rows, shape.cols);
    add_tile(*kernel, shape.row, shape.col);
    const int64_t sum = pixels[kernel] += int64_t{shape.rows} * shape.cols;
    if (sum > most_pixels) kernel_ = kernel;
    most_pixels = std::max(most_pixels, sum);
  }
  find_runs();
}

void DirectConv::find_runs() {
  for (size_t i = tiles_.size() - 1; i > 0; --i) {
    PlacedTile& left = tiles_[i - 1];
    const PlacedTile& right = tiles_[i];
    const int64_t step = left.cols * operands_.out.col();
    if (left.fn == right.fn && left.row == right.row && right.out - left.out == step) {
      left.run = right.run + 1;
    }
  }
}

void DirectConv::add_tile(const SparseConvKernel& kernel, int row, int col) {
  const BufferLayout& in = operands_.in;
  const BufferLayout& out = operands_.out;
  const BufferLayout& residual = operands_.residual;
  const Window2d& w = operands_.window;
  PlacedTile tile;
  tile.fn = kernel.fn;
  tile.row = row;
  tile.rows = kernel.rows;
  tile.cols = kernel.cols;
  tile.in = in.origin() + (ptrdiff_t{row} * w.stride_h - w.pad_top) * in.row() +
            (ptrdiff_t{col} * w.stride_w - w.pad_left) * in.col();
  tile.out = out.origin() + row * out.row() + col * out.col();
  tile.residual = residual.origin() + row * residual.row() + col * residual.col();
  tiles_.push_back(tile);
}

// Tiles that all blocks pass before the next ones begin. The fewer, the nearer their inputs stay
// while the blocks pass; the more, the less often a block's weights are fetched and set up. Where
// several taps share the inputs, what fits in L2 was fastest, up to some rows (by up to 15 % over
// one tile). A 1x1 kernel reads each input once per block, so they should stay in L1, if those of
// one tile do at all (by up to 40 %).
int64_t DirectConv::choose_part() const {
  const Window2d& w = operands_.window;
  const int64_t pixel_bytes = operands_.in.col() * 4;
  const int64_t tile_pixels = int64_t{kernel_->rows} * kernel_->cols;
  const int64_t tile_bytes = tile_pixels * std::min(w.stride_h, w.kernel_h) *
                             std::min(w.stride_w, w.kernel_w) * pixel_bytes;
  const bool has_taps = w.kernel_h * w.kernel_w > 1;
  const int64_t most =
      !has_taps && tile_bytes <= kNearBytes
          ? kNearBytes / tile_bytes
          : std::clamp<int64_t>(kCacheBytes / tile_bytes, 1, kPartPixels / tile_pixels + 1);
  // Equal parts, so that no small one reads all weights again.
  const int64_t tiles = static_cast<int64_t>(tiles_.size());
  const int64_t parts = std::max<int64_t>(1, (tiles + most / 2) / most);
  return (tiles + parts - 1) / parts;
}

void DirectConv::run_range(const Job& job, Range tiles, Range blocks) const {
  for (int64_t t = tiles.begin; t < tiles.end; t += part_) {
    if (part_ == 1 && t + 1 < tiles.end)
      prefetch_tile(job.arena, tiles_[static_cast<size_t>(t + 1)]);
    run_part(job, {t, std::min(t + part_, tiles.end)}, blocks);
  }
}

void DirectConv::run_part(const Job& job, Range tiles, Range blocks) const {
  std::array<SparseConvSpan, kMaxChunks> advancing;
  SparseConvTile tile = common_tile();
  for (int64_t b = blocks.begin; b < blocks.end; ++b) {
    const int block = static_cast<int>(b);
    set_block(job.level, block, &tile);
    if (tiles.end - tiles.begin > 1) {
      std::copy(tile.spans, tile.spans + tile.span_count, advancing.data());
      tile.spans = advancing.data();
    }
    for (int64_t t = tiles.begin; t < tiles.end; t += tile.count) {
      const PlacedTile& first = tiles_[static_cast<size_t>(t)];
      set_place(job.arena, first, block, &tile);
      tile.count = std::min<int64_t>(first.run, tiles.end - t);
      first.fn(tile);
      if (t + tile.count < tiles.end) advance_prefetch(tile, advancing.data());
    }
  }
}

// The next tile fetches where this one ended.
void DirectConv::advance_prefetch(const SparseConvTile& tile, SparseConvSpan* spans) {
  for (int c = 0; c < tile.span_count; ++c) {
    spans[c].prefetch += tile.count * spans[c].prefetch_tile;
  }
}

// Brings the inputs of a tile into L2. A tile is a few short runs in different rows, which the
// hardware does not foresee.
void DirectConv::prefetch_tile(const float* arena, const PlacedTile& placed) const {
  const Window2d& w = operands_.window;
  const int rows = (placed.rows - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1;
  const int cols = (placed.cols - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1;
  for (int y = 0; y < rows; ++y) {
    const float* row = arena + placed.in + y * operands_.in.row();
    for (ptrdiff_t i = 0; i < cols * operands_.in.col(); i += kLineFloats) {
      __builtin_prefetch(row + i, /*rw=*/0, /*locality=*/2);
    }
  }
}

SparseConvTile DirectConv::common_tile() const {
  SparseConvTile tile{};
  tile.in_row = operands_.in.row() * operands_.window.stride_h;
  tile.in_col = operands_.in.col() * operands_.window.stride_w;
  tile.residual_row = operands_.residual.row();
  tile.residual_col = operands_.residual.col();
  tile.out_row = operands_.out.row();
  tile.out_col = operands_.out.col();
  tile.activation = operands_.activation;
  tile.span_count = operands_.layer->packed().chunks;
  return tile;
}

void DirectConv::set_block(int level, int block, SparseConvTile* tile) const {
  const PackedWeights& packed = operands_.layer->packed();
  tile->spans = spans_.data() + (packed.spans(level, block) - packed.spans(0, 0));
  tile->scale = operands_.layer->scale(level, block);
  tile->bias = operands_.layer->bias(level, block);
}

void DirectConv::set_place(float* arena, const PlacedTile& placed, int block,
                           SparseConvTile* tile) const {
  const int channel = block * height();
  tile->in_step = placed.cols * tile->in_col;
  tile->residual_step = placed.cols * tile->residual_col;
  tile->out_step = placed.cols * tile->out_col;
  tile->in = arena + placed.in;
  tile->residual = operands_.has_residual ? arena + placed.residual + channel : nullptr;
  tile->out = arena + placed.out + channel;
}

SparseConvSpan DirectConv::span_of(int level, int block, int chunk) const {
  const PackedLayer& layer = *operands_.layer;
  const PackedSpan& kept = layer.packed().spans(level, block)[chunk];
  SparseConvSpan span{};
  span.values = layer.values(block) + int64_t{kept.begin} * height();
  span.offsets = layer.offsets(block) + kept.begin;
  span.end = span.offsets + kept.nnz;
  span.prefetch = reinterpret_cast<const char*>(span.values);
  return span;
}

// While the tiles of one block are computed, the weights of the next come into L2, a part with
// each tile. Without that, the first tile of each block waits for memory: it was a third slower at
// 512 channels.
void DirectConv::make_spans(int level) {
  const PackedWeights& packed = operands_.layer->packed();
  for (int block = 0; block < packed.blocks; ++block) {
    for (int chunk = 0; chunk < packed.chunks; ++chunk) {
      SparseConvSpan span = span_of(level, block, chunk);
      if (span.offsets != span.end && block + 1 < packed.blocks) {
        const SparseConvSpan next = span_of(level, block + 1, chunk);
        const int64_t bytes = (next.end - next.offsets) * height() * 4;
        span.prefetch = reinterpret_cast<const char*>(next.values);
        const int64_t calls = part_ * (span.end - span.offsets);
        span.prefetch_step = (bytes + calls - 1) / calls;
        span.prefetch_tile = span.prefetch_step * (span.end - span.offsets);
      }
      spans_.push_back(span);
    }
  }
}

}  // namespace aio
