// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/rows.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/softmax/softmax.h"

namespace aio {
namespace {

// A softmax takes longer per value than a copy, so threads pay off earlier.
constexpr int64_t kMinParallelSoftmax = 16 * 1024;

class SoftmaxStep final : public Step {
 public:
  SoftmaxStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        kernel_(select_softmax(isa)) {}

  void run(const RunContext& context, int /*level*/) const override {
    zero_halo(out_, context.arena);
    run_rows(
        context, node_.shape, out_.height, [&](int64_t y) { run_row(context.arena, y); },
        kMinParallelSoftmax);
  }

  LayerInfo info() const override { return describe_node(node_, kernel_->name, levels_); }

 private:
  void run_row(float* arena, int64_t y) const {
    SoftmaxRow row{};
    row.pixels = out_.width;
    row.channels = node_.shape.channels;
    row.in = arena + in_.origin() + y * in_.row();
    row.in_col = in_.col();
    row.out = arena + out_.origin() + y * out_.row();
    row.out_col = out_.col();
    kernel_->fn(row);
  }

  int levels_;
  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  const SoftmaxKernel* kernel_;
};

}  // namespace

std::unique_ptr<Step> make_softmax_step(const Graph& graph, const Plan& plan,
                                        const PlannedStep& planned, Isa isa) {
  return std::make_unique<SoftmaxStep>(graph, plan, planned, isa);
}

}  // namespace aio
