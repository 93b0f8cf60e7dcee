// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "csrc/base/aligned.h"
#include "csrc/executor/rows.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/elementwise/elementwise.h"

namespace aio {
namespace {

// A scale and a bias for each level and channel: a batch normalisation that no layer could take up.
class AffineStep final : public Step {
 public:
  AffineStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        activation_(planned.activation),
        channels_(block_channels(node_.shape.channels)),
        scale_(pack(node_.scale, 1.0f)),
        bias_(pack(node_.bias, 0.0f)),
        kernel_(select_elementwise(isa)) {
    node_.scale = node_.bias = {};  // packed now
  }

  void run(const RunContext& context, int level) const override {
    zero_halo(out_, context.arena);
    run_rows(context, node_.shape, out_.height,
             [&](int64_t y) { run_row(context.arena, level, y); });
  }

  LayerInfo info() const override { return describe_node(node_, kernel_->name, levels_); }

  size_t weight_bytes() const override { return scale_.bytes() + bias_.bytes(); }

 private:
  // levels x channels, each level padded to whole blocks.
  AlignedBuffer<float> pack(const Floats& values, float absent) const {
    const int channels = node_.shape.channels;
    AlignedBuffer<float> packed(static_cast<size_t>(levels_) * static_cast<size_t>(channels_));
    for (int level = 0; level < levels_; ++level) {
      float* out = packed.data() + int64_t{level} * channels_;
      if (values.empty()) {
        std::fill(out, out + channels, absent);
      } else {
        std::copy_n(values.data() + int64_t{level} * channels, channels, out);
      }
    }
    return packed;
  }

  void run_row(float* arena, int level, int64_t y) const {
    Elementwise work{};
    work.op = ElementwiseOp::kAffine;
    work.a = arena + in_.origin() + y * in_.row();
    work.b = scale_.data() + int64_t{level} * channels_;
    work.c = bias_.data() + int64_t{level} * channels_;
    work.out = arena + out_.origin() + y * out_.row();
    work.pixels = out_.width;
    work.channels = channels_;
    work.a_col = in_.col();
    work.out_col = out_.col();
    work.activation = activation_;
    kernel_->fn(work);
  }

  int levels_;
  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  Activation activation_;
  int channels_;  // as whole blocks
  AlignedBuffer<float> scale_;
  AlignedBuffer<float> bias_;
  const ElementwiseKernel* kernel_;
};

}  // namespace

std::unique_ptr<Step> make_affine_step(const Graph& graph, const Plan& plan,
                                       const PlannedStep& planned, Isa isa) {
  return std::make_unique<AffineStep>(graph, plan, planned, isa);
}

}  // namespace aio
