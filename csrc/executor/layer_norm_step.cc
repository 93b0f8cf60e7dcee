// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/aligned.h"
#include "csrc/executor/rows.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/layer_norm/layer_norm.h"

namespace aio {
namespace {

// A normalisation takes longer per value than a copy, so threads pay off earlier.
constexpr int64_t kMinParallelNorm = 32 * 1024;

class LayerNormStep final : public Step {
 public:
  LayerNormStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        whole_sample_(node_.norm_over == NormOver::kSample),
        blocks_(block_channels(node_.shape.channels)),
        weight_(pack(node_.scale, 1.0f)),
        bias_(pack(node_.bias, 0.0f)),
        kernel_(select_layer_norm(isa)) {
    node_.scale = node_.bias = {};  // packed now
  }

  void run(const RunContext& context, int /*level*/) const override {
    zero_halo(out_, context.arena);
    if (whole_sample_) {
      run_group(context.arena, 0, 0);
      return;
    }
    run_rows(
        context, node_.shape, out_.height,
        [&](int64_t y) {
          for (int x = 0; x < out_.width; ++x) run_group(context.arena, y, x);
        },
        kMinParallelNorm);
  }

  LayerInfo info() const override { return describe_node(node_, kernel_->name, levels_); }

  size_t weight_bytes() const override { return weight_.bytes() + bias_.bytes(); }

 private:
  // From channel by channel to pixel by pixel, each padded to whole blocks.
  AlignedBuffer<float> pack(const Floats& values, float absent) const {
    const int pixels = whole_sample_ ? in_.height * in_.width : 1;
    AlignedBuffer<float> packed(static_cast<size_t>(pixels) * static_cast<size_t>(blocks_));
    for (int c = 0; c < node_.shape.channels; ++c) {
      for (int pixel = 0; pixel < pixels; ++pixel) {
        packed.data()[int64_t{pixel} * blocks_ + c] =
            values.empty() ? absent : values.data()[int64_t{c} * pixels + pixel];
      }
    }
    return packed;
  }

  // All pixels, or the one at (y, x).
  void run_group(float* arena, int64_t y, int64_t x) const {
    LayerNorm work{};
    work.height = whole_sample_ ? in_.height : 1;
    work.width = whole_sample_ ? in_.width : 1;
    work.channels = node_.shape.channels;
    work.in = arena + in_.origin() + y * in_.row() + x * in_.col();
    work.in_row = in_.row();
    work.in_col = in_.col();
    work.out = arena + out_.origin() + y * out_.row() + x * out_.col();
    work.out_row = out_.row();
    work.out_col = out_.col();
    work.weight = weight_.data();
    work.bias = bias_.data();
    work.weight_row = ptrdiff_t{in_.width} * blocks_;
    work.weight_col = blocks_;
    work.eps = node_.eps;
    kernel_->fn(work);
  }

  int levels_;
  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  bool whole_sample_;
  int blocks_;  // channels, as whole blocks
  AlignedBuffer<float> weight_;
  AlignedBuffer<float> bias_;
  const LayerNormKernel* kernel_;
};

}  // namespace

std::unique_ptr<Step> make_layer_norm_step(const Graph& graph, const Plan& plan,
                                           const PlannedStep& planned, Isa isa) {
  return std::make_unique<LayerNormStep>(graph, plan, planned, isa);
}

}  // namespace aio
