// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "csrc/executor/layer_weights.h"
#include "csrc/executor/row_step.h"
#include "csrc/kernels/depthwise_conv/depthwise_conv.h"

namespace aio {
namespace {

// More chunks than threads let one thread take over from another that was interrupted.
constexpr int kChunksPerThread = 4;
// All blocks pass over a band of rows before the next band, so that its inputs stay in the L2
// cache.
constexpr int64_t kBandBytes = 256 * 1024;

// A tap's distance from tap (0, 0). A block starts at its own channels, so it is the same for all.
std::vector<int32_t> tap_offsets(const Window2d& window, const BufferLayout& in) {
  std::vector<int32_t> offsets;
  for (int y = 0; y < window.kernel_h; ++y) {
    for (int x = 0; x < window.kernel_w; ++x) {
      offsets.push_back(static_cast<int32_t>(y * window.dilation_h * in.row() +
                                             x * window.dilation_w * in.col()));
    }
  }
  return offsets;
}

class DepthwiseStep final : public RowStep {
 public:
  DepthwiseStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        residual_(planned.residual == kNoValue ? BufferLayout() : plan.buffer(planned.residual)),
        has_residual_(planned.residual != kNoValue),
        activation_(planned.activation),
        layer_(node_.weights, graph.levels(), tap_offsets(node_.window, in_)),
        kernel_(select_depthwise_conv(isa)) {
    node_.weights = LayerWeights();  // packed now
    offsets_ = layer_.packed().offsets.to_vector();
    const int64_t row_bytes = in_.row() * node_.window.stride_h * int64_t{sizeof(float)};
    band_ = static_cast<int>(std::clamp<int64_t>(kBandBytes / row_bytes, 1, out_.height));
  }

  void run(const RunContext& context, int level) const override {
    zero_halo(out_, context.arena);
    const int64_t chunks = int64_t{context.pool->threads()} * kChunksPerThread;
    const bool by_rows = out_.height >= chunks;
    const int64_t parts = by_rows ? out_.height : layer_.packed().blocks;
    const Origins origins{in_.origin(), residual_.origin(), out_.origin()};
    const Job job{this, context.arena, origins, level, by_rows};
    context.pool->parallel_for(
        parts, macs(level) < kMinParallelMacs ? parts : (parts + chunks - 1) / chunks,
        [](const void* data, int64_t begin, int64_t end) {
          const Job* work = static_cast<const Job*>(data);
          work->step->run_blocks(*work, static_cast<int>(begin), static_cast<int>(end));
        },
        &job);
  }

  bool makes_rows(int /*level*/) const override { return true; }

  void run_rows(float* arena, const Origins& origins, int level, RowRange rows) const override {
    run_blocks({this, arena, origins, level, true}, rows.begin, rows.end);
  }

  void prepare_rows(int /*count*/) override {}

  int64_t macs(int level) const override {
    return layer_.total_nnz(level) * kLanes * out_.height * out_.width;
  }

  int64_t level_bytes(int level) const override { return layer_.level_bytes(level); }

  LayerInfo info() const override {
    LayerInfo info = describe_node(node_, kernel_->name, layer_.packed().levels);
    layer_.describe(int64_t{out_.height} * out_.width, &info);
    return info;
  }

  size_t weight_bytes() const override {
    return layer_.bytes() + offsets_.size() * sizeof(int32_t);
  }

 private:
  struct Job {
    const DepthwiseStep* step;
    float* arena;
    Origins origins;
    int level;
    bool by_rows;  // a part is some rows, all blocks; else the reverse
  };

  void run_blocks(const Job& job, int begin, int end) const {
    const int row_begin = job.by_rows ? begin : 0;
    const int row_end = job.by_rows ? end : out_.height;
    const int block_begin = job.by_rows ? 0 : begin;
    const int block_end = job.by_rows ? layer_.packed().blocks : end;
    for (int row = row_begin; row < row_end; row += band_) {
      for (int block = block_begin; block < block_end; ++block) {
        run_block(job, block, row, std::min(band_, row_end - row));
      }
    }
  }

  void run_block(const Job& job, int block, int row, int rows) const {
    const Window2d& w = node_.window;
    const int channel = block * kLanes;
    DepthwiseConvRegion region{};
    region.rows = rows;
    region.cols = out_.width;
    region.in = job.arena + job.origins.in + channel +
                (ptrdiff_t{row} * w.stride_h - w.pad_top) * in_.row() - w.pad_left * in_.col();
    region.in_row = in_.row() * w.stride_h;
    region.in_col = in_.col() * w.stride_w;
    region.values = layer_.values(block);
    region.offsets =
        &offsets_[static_cast<size_t>(layer_.packed().begins[static_cast<size_t>(block)])];
    region.nnz = layer_.packed().nnz(job.level, block);
    region.scale = layer_.scale(job.level, block);
    region.bias = layer_.bias(job.level, block);
    if (has_residual_) {
      region.residual = job.arena + job.origins.residual + channel + row * residual_.row();
    }
    region.residual_row = residual_.row();
    region.residual_col = residual_.col();
    region.out = job.arena + job.origins.out + channel + row * out_.row();
    region.out_row = out_.row();
    region.out_col = out_.col();
    region.activation = activation_;
    kernel_->fn(region);
  }

  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  BufferLayout residual_;
  bool has_residual_;
  Activation activation_;
  PackedLayer layer_;
  std::vector<int32_t> offsets_;  // of the kept taps: so few that the kernel gets them wide
  const DepthwiseConvKernel* kernel_;
  int band_;  // rows
};

}  // namespace

std::unique_ptr<Step> make_depthwise_step(const Graph& graph, const Plan& plan,
                                          const PlannedStep& planned, Isa isa) {
  return std::make_unique<DepthwiseStep>(graph, plan, planned, isa);
}

}  // namespace aio
