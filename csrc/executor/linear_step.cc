// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "csrc/executor/layer_weights.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/sparse_linear/sparse_linear.h"

namespace aio {
namespace {

// A layer of fewer weights is faster on one thread than the hand-over takes.
constexpr int64_t kMinParallelWeights = 256 * 1024;

// Features are numbered channel by channel, but lie pixel by pixel: the offsets do the
// transposition.
std::vector<int32_t> feature_offsets(const BufferLayout& in, int channels) {
  std::vector<int32_t> offsets;
  for (int c = 0; c < channels; ++c) {
    for (int y = 0; y < in.height; ++y) {
      for (int x = 0; x < in.width; ++x) {
        offsets.push_back(static_cast<int32_t>(y * in.row() + x * in.col() + c));
      }
    }
  }
  return offsets;
}

// A linear layer, or a convolution that makes one pixel of all of its input.
class LinearStep final : public Step {
 public:
  LinearStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        residual_(planned.residual == kNoValue ? BufferLayout() : plan.buffer(planned.residual)),
        has_residual_(planned.residual != kNoValue),
        activation_(planned.activation),
        kernel_(select_sparse_linear(isa, node_.weights.layout)),
        layer_(node_.weights, graph.levels(),
               feature_offsets(
                   in_, graph.nodes()[static_cast<size_t>(planned.inputs[0])].shape.channels)) {
    node_.weights = LayerWeights();  // packed now
  }

  void run(const RunContext& context, int level) const override {
    zero_halo(out_, context.arena);
    const Job job{this, context.arena, level};
    const int64_t blocks = layer_.packed().blocks;
    const int64_t threads = context.pool->threads();
    const bool small = layer_.total_nnz(level) * layer_.height() < kMinParallelWeights;
    context.pool->parallel_for(
        blocks, small ? blocks : (blocks + threads * 4 - 1) / (threads * 4),
        [](const void* data, int64_t begin, int64_t end) {
          const Job* work = static_cast<const Job*>(data);
          for (int64_t b = begin; b < end; ++b) work->step->run_block(*work, static_cast<int>(b));
        },
        &job);
  }

  LayerInfo info() const override {
    LayerInfo info = describe_node(node_, kernel_->name, layer_.packed().levels);
    layer_.describe(1, &info);
    return info;
  }

  size_t weight_bytes() const override { return layer_.bytes(); }

 private:
  struct Job {
    const LinearStep* step;
    float* arena;
    int level;
  };

  void run_block(const Job& job, int index) const {
    const int channel = index * layer_.height();
    SparseLinearBlock block;
    block.in = job.arena + in_.origin();
    block.values = layer_.values(index);
    block.offsets = layer_.offsets(index);
    block.offset_width = layer_.offset_width();
    block.nnz = layer_.packed().nnz(job.level, index);
    block.scale = layer_.scale(job.level, index);
    block.bias = layer_.bias(job.level, index);
    block.residual = has_residual_ ? job.arena + residual_.origin() + channel : nullptr;
    block.out = job.arena + out_.origin() + channel;
    block.activation = activation_;
    kernel_->fn(block);
  }

  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  BufferLayout residual_;
  bool has_residual_;
  Activation activation_;
  const SparseLinearKernel* kernel_;
  PackedLayer layer_;
};

}  // namespace

std::unique_ptr<Step> make_linear_step(const Graph& graph, const Plan& plan,
                                       const PlannedStep& planned, Isa isa) {
  return std::make_unique<LinearStep>(graph, plan, planned, isa);
}

}  // namespace aio
