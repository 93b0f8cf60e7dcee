// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "csrc/executor/layer_weights.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {

// Below this many multiply-adds a layer stays on one thread. Two threads took a layer of 1.3
// million from 23 to 19 us only, as its activations moved between the cores' caches, and made the
// latency several times less steady.
constexpr int64_t kMinParallelMacs = 2 * 1024 * 1024;
constexpr int kChunksPerThread = 4;

// Where the tile's data starts in each buffer, in floats from the arena.
struct PlacedTile {
  SparseConvFn fn;
  int64_t in;
  int64_t residual;
  int64_t out;
};

std::vector<int32_t> element_offsets(const LayerWeights& weights, const Window2d& window,
                                     const BufferLayout& in) {
  std::vector<int32_t> offsets;
  for (int c = 0; c < weights.in_channels; ++c) {
    for (int y = 0; y < weights.kernel_h; ++y) {
      for (int x = 0; x < weights.kernel_w; ++x) {
        offsets.push_back(static_cast<int32_t>(y * window.dilation_h * in.row() +
                                               x * window.dilation_w * in.col() + c));
      }
    }
  }
  return offsets;
}

class ConvStep final : public Step {
 public:
  ConvStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        residual_(planned.residual == kNoValue ? BufferLayout() : plan.buffer(planned.residual)),
        has_residual_(planned.residual != kNoValue),
        activation_(planned.activation),
        layer_(node_.weights, graph.levels(), element_offsets(node_.weights, node_.window, in_)) {
    node_.weights = LayerWeights();  // packed now
    tile_output(isa);
    for (int level = 0; level < graph.levels(); ++level) {
      pixels_outer_.push_back(prefer_pixels_outer(level));
    }
  }

  void run(const RunContext& context, int level) const override {
    zero_halo(out_, context.arena);
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    const Job job{this, context.arena, level, pixels_outer_[static_cast<size_t>(level)]};
    const int64_t count = tiles * layer_.packed().blocks;
    const int64_t macs = layer_.total_nnz(level) * kBlockHeight * out_.height * out_.width;
    const int64_t chunks = int64_t{context.pool->threads()} * kChunksPerThread;
    const int64_t grain = macs < kMinParallelMacs ? count : (count + chunks - 1) / chunks;
    context.pool->parallel_for(
        count, grain,
        [](const void* data, int64_t begin, int64_t end) {
          const Job* work = static_cast<const Job*>(data);
          work->step->run_tiles(*work, begin, end);
        },
        &job);
  }

  LayerInfo info() const override {
    LayerInfo info;
    info.name = node_.name;
    info.op = op_name(node_.op);
    info.kernel = kernel_->name;
    info.output_shape = node_.shape;
    layer_.describe(int64_t{out_.height} * out_.width, &info);
    return info;
  }

  size_t weight_bytes() const override { return layer_.bytes(); }

 private:
  struct Job {
    const ConvStep* step;
    float* arena;
    int level;
    bool pixels_outer;
  };

  void tile_output(Isa isa) {
    kernel_ = select_sparse_conv(out_.height, out_.width, isa);
    const int col_tiles = (out_.width + kernel_->cols - 1) / kernel_->cols;
    for (int row = 0; row < out_.height;) {
      int rows = std::min(kernel_->rows, out_.height - row);
      while (find_sparse_conv(isa, rows, kernel_->cols) == nullptr) --rows;
      for (int i = 0; i < col_tiles; ++i) {
        const int begin = out_.width * i / col_tiles;
        const int end = out_.width * (i + 1) / col_tiles;
        add_tiles(isa, row, rows, begin, end - begin);
      }
      row += rows;
    }
  }

  // A kernel of the exact size where there is one, else a row at a time.
  void add_tiles(Isa isa, int row, int rows, int col, int cols) {
    const SparseConvKernel* exact = find_sparse_conv(isa, rows, cols);
    const SparseConvKernel* kernel = exact ? exact : find_sparse_conv(isa, 1, cols);
    for (int r = row; r < row + rows; r += kernel->rows) {
      const Window2d& w = node_.window;
      PlacedTile tile;
      tile.fn = kernel->fn;
      tile.in = in_.origin() + (ptrdiff_t{r} * w.stride_h - w.pad_top) * in_.row() +
                (ptrdiff_t{col} * w.stride_w - w.pad_left) * in_.col();
      tile.out = out_.origin() + r * out_.row() + col * out_.col();
      tile.residual = residual_.origin() + r * residual_.row() + col * residual_.col();
      tiles_.push_back(tile);
    }
  }

  // Which of the two stays in the innermost cache: a block's weights while all pixels pass, or a
  // tile's inputs while all blocks pass. Whichever streams fewer bytes.
  bool prefer_pixels_outer(int level) const {
    const int64_t weight_bytes = layer_.total_nnz(level) * (kBlockHeight + 1) * 4;
    const int64_t input_bytes = in_.size * 4;
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    return weight_bytes * tiles < input_bytes * layer_.packed().blocks;
  }

  void run_tiles(const Job& job, int64_t begin, int64_t end) const {
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    const int64_t blocks = layer_.packed().blocks;
    for (int64_t i = begin; i < end; ++i) {
      if (job.pixels_outer) {
        run_tile(job, i / blocks, static_cast<int>(i % blocks));
      } else {
        run_tile(job, i % tiles, static_cast<int>(i / tiles));
      }
    }
  }

  // While the tiles of one block are computed, the weights of the next come into L2, a part with
  // each tile. Without that, the first tile of each block waits for memory: it was a third slower
  // at 512 channels.
  void plan_prefetch(const Job& job, int64_t index, int block, SparseConvTile* tile) const {
    tile->prefetch = reinterpret_cast<const char*>(tile->values);
    tile->prefetch_step = 0;
    if (job.pixels_outer || block + 1 == layer_.packed().blocks || tile->nnz == 0) return;
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    const int64_t bytes = int64_t{layer_.packed().nnz(job.level, block + 1)} * kBlockHeight * 4;
    tile->prefetch =
        reinterpret_cast<const char*>(layer_.values(block + 1)) + bytes / tiles * index;
    tile->prefetch_step = bytes / tiles / tile->nnz;
  }

  void run_tile(const Job& job, int64_t index, int block) const {
    const PlacedTile& placed = tiles_[static_cast<size_t>(index)];
    const int channel = block * kBlockHeight;
    SparseConvTile tile;
    tile.in = job.arena + placed.in;
    tile.in_row = in_.row() * node_.window.stride_h;
    tile.in_col = in_.col() * node_.window.stride_w;
    tile.values = layer_.values(block);
    tile.offsets = layer_.offsets(block);
    tile.nnz = layer_.packed().nnz(job.level, block);
    plan_prefetch(job, index, block, &tile);
    tile.scale = layer_.scale(job.level, block);
    tile.bias = layer_.bias(job.level, block);
    tile.residual = has_residual_ ? job.arena + placed.residual + channel : nullptr;
    tile.residual_row = residual_.row();
    tile.residual_col = residual_.col();
    tile.out = job.arena + placed.out + channel;
    tile.out_row = out_.row();
    tile.out_col = out_.col();
    tile.activation = activation_;
    placed.fn(tile);
  }

  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  BufferLayout residual_;
  bool has_residual_;
  Activation activation_;
  PackedLayer layer_;
  const SparseConvKernel* kernel_ = nullptr;
  std::vector<PlacedTile> tiles_;
  std::vector<bool> pixels_outer_;  // by level
};

}  // namespace

std::unique_ptr<Step> make_conv_step(const Graph& graph, const Plan& plan,
                                     const PlannedStep& planned, Isa isa) {
  return std::make_unique<ConvStep>(graph, plan, planned, isa);
}

}  // namespace aio
