// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>

#include "csrc/executor/direct_conv.h"
#include "csrc/executor/row_step.h"
#include "csrc/executor/winograd_conv.h"

namespace aio {
namespace {

// Where the costs are about equal the direct algorithm wins: it shares out among threads more
// evenly and rounds less.
constexpr double kMargin = 0.9;
// A part has at least so many channels, as each reads all of the input again.
constexpr int kMinChannelsPerPart = 128;
constexpr int kMaxParts = 4;
// Of an L1 cache of 32 KiB.
constexpr int64_t kChunkBytes = 12 * 1024;

std::vector<int32_t> element_offsets(const LayerWeights& weights, const Window2d& window,
                                     const BufferLayout& in) {
  std::vector<int32_t> offsets;
  for (int c = 0; c < weights.in_channels * weights.groups; ++c) {
    for (int y = 0; y < weights.kernel_h; ++y) {
      for (int x = 0; x < weights.kernel_w; ++x) {
        offsets.push_back(static_cast<int32_t>(y * window.dilation_h * in.row() +
                                               x * window.dilation_w * in.col() + c));
      }
    }
  }
  return offsets;
}

// Channels whose weights are packed together: as many as leave the inputs of a tile in the L1 cache
// beside the weights that stream by. A tile of 3 rows of pixels, 3x2 for blocks of 16, stands for
// those of every ISA, as all must add in the same order. 0 is all.
int chunk_channels(const Node& node, int levels) {
  const LayerWeights& weights = node.weights;
  if (levels == 1 || weights.score.empty() || weights.groups != 1) return 0;
  const Window2d& w = node.window;
  const int64_t tile_cols = 32 / weights.layout.height;
  const int64_t rows = 2 * w.stride_h + (weights.kernel_h - 1) * w.dilation_h + 1;
  const int64_t cols = (tile_cols - 1) * w.stride_w + (weights.kernel_w - 1) * w.dilation_w + 1;
  const int64_t taps = int64_t{weights.kernel_h} * weights.kernel_w;
  const int64_t pixels = std::min(rows * cols, 3 * tile_cols * taps);
  int channels = kChannelPad;
  while (2 * channels * pixels * 4 <= kChunkBytes || channels * kMaxChunks < weights.in_channels) {
    channels *= 2;
  }
  return channels < weights.in_channels ? channels : 0;
}

// At each level the algorithm that costs less: the direct one costs what the level keeps, the other
// the same at every level.
class ConvStep final : public RowStep {
 public:
  ConvStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, int threads, Isa isa)
      : node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        chunk_channels_(chunk_channels(node_, graph.levels())),
        layer_(node_.weights, graph.levels(),
               element_offsets(node_.weights, node_.window, plan.buffer(planned.inputs[0])),
               chunk_elements()),
        operands_{node_.window,
                  node_.weights.in_channels,
                  chunk_channels_,
                  plan.buffer(planned.inputs[0]),
                  plan.buffer(planned.output),
                  planned.residual == kNoValue ? BufferLayout() : plan.buffer(planned.residual),
                  planned.residual != kNoValue,
                  planned.activation,
                  &layer_},
        direct_(operands_, graph.levels(), threads, isa),
        winograd_levels_(static_cast<size_t>(graph.levels()), false) {
    if (WinogradConv::supports(node_.weights, node_.window)) {
      consider_winograd(graph.levels(), threads, isa);
    }
    node_.weights = LayerWeights();  // packed now
    // Winograd shares its transformed input among all channels.
    if (!winograd_) parts_ = std::clamp(padded_channels() / kMinChannelsPerPart, 1, kMaxParts);
  }

  void run(const RunContext& context, int level) const override {
    zero_halo(operands_.out, context.arena);
    if (winograd_levels_[static_cast<size_t>(level)]) {
      winograd_->run(context, level);
    } else {
      direct_.run(context, level, {0, layer_.packed().blocks});
    }
  }

  int parts() const override { return parts_; }

  void run_part(const RunContext& context, int level, int part) const override {
    if (parts_ == 1) return run(context, level);
    if (part == 0) zero_halo(operands_.out, context.arena);
    const int64_t blocks = layer_.packed().blocks;
    direct_.run(context, level, {blocks * part / parts_, blocks * (part + 1) / parts_});
  }

  bool makes_rows(int level) const override {
    return !winograd_levels_[static_cast<size_t>(level)];
  }

  void run_rows(float* arena, const Origins& origins, int level, RowRange rows) const override {
    direct_.run_rows(arena, origins, level, rows);
  }

  void prepare_rows(int count) override { direct_.prepare_rows(count); }

  int64_t macs(int level) const override { return direct_.macs(level); }

  int64_t level_bytes(int level) const override { return layer_.level_bytes(level); }

  LayerInfo info() const override {
    LayerInfo info = describe_node(node_, direct_.kernel_name(0), layer_.packed().levels);
    if (winograd_) info.kernel += std::string(" or ") + winograd_->kernel_name();
    for (size_t level = 0; level < info.kernels.size(); ++level) {
      info.kernels[level] = winograd_levels_[level] ? winograd_->kernel_name()
                                                    : direct_.kernel_name(static_cast<int>(level));
    }
    layer_.describe(int64_t{operands_.out.height} * operands_.out.width, &info);
    return info;
  }

  size_t weight_bytes() const override {
    return layer_.bytes() + (winograd_ ? winograd_->weight_bytes() : 0);
  }

  int64_t scratch_floats() const override { return winograd_ ? winograd_->scratch_floats() : 0; }

 private:
  int padded_channels() const { return layer_.packed().blocks * layer_.height(); }

  int chunk_elements() const {
    return chunk_channels_ * node_.weights.kernel_h * node_.weights.kernel_w;
  }

  void consider_winograd(int levels, int threads, Isa isa) {
    const double cost = WinogradConv::cost(operands_);
    for (int level = 0; level < levels; ++level) {
      winograd_levels_[static_cast<size_t>(level)] = cost < kMargin * direct_.cost(level);
    }
    // The densest level costs the direct algorithm most.
    if (!winograd_levels_[0]) return;
    winograd_ = std::make_unique<WinogradConv>(
        operands_, kept_places(weight_view(node_.weights, levels, chunk_elements())), threads, isa);
  }

  Node node_;
  int chunk_channels_;
  PackedLayer layer_;
  ConvOperands operands_;
  DirectConv direct_;
  std::unique_ptr<WinogradConv> winograd_;  // if any level uses it
  std::vector<bool> winograd_levels_;
  int parts_ = 1;
};

}  // namespace

std::unique_ptr<Step> make_conv_step(const Graph& graph, const Plan& plan,
                                     const PlannedStep& planned, int threads, Isa isa) {
  const Node& node = graph.nodes()[static_cast<size_t>(planned.node)];
  if (node.weights.is_depthwise()) return make_depthwise_step(graph, plan, planned, isa);
  return std::make_unique<ConvStep>(graph, plan, planned, threads, isa);
}

}  // namespace aio
