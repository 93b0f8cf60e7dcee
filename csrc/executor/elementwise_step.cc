// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/step.h"
#include "csrc/kernels/elementwise/elementwise.h"

namespace aio {
namespace {

// Below this many values a layer is faster on one thread than the hand-over takes.
constexpr int64_t kMinParallelValues = 64 * 1024;

class ElementwiseStep final : public Step {
 public:
  ElementwiseStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        a_(plan.buffer(planned.inputs[0])),
        b_(planned.inputs.size() > 1 ? plan.buffer(planned.inputs[1]) : BufferLayout()),
        out_(plan.buffer(planned.output)),
        has_b_(planned.inputs.size() > 1),
        activation_(planned.activation),
        kernel_(select_elementwise(isa)) {}

  void run(const RunContext& context, int /*level*/) const override {
    zero_halo(out_, context.arena);
    const Job job{this, context.arena};
    context.pool->parallel_for(
        out_.height, node_.shape.size() < kMinParallelValues ? out_.height : 1,
        [](const void* data, int64_t begin, int64_t end) {
          const Job* work = static_cast<const Job*>(data);
          for (int64_t y = begin; y < end; ++y) work->step->run_row(work->arena, y);
        },
        &job);
  }

  LayerInfo info() const override { return describe_node(node_, kernel_->name, levels_); }

 private:
  struct Job {
    const ElementwiseStep* step;
    float* arena;
  };

  void run_row(float* arena, int64_t y) const {
    Elementwise work;
    work.a = arena + a_.origin() + y * a_.row();
    work.b = has_b_ ? arena + b_.origin() + y * b_.row() : nullptr;
    work.out = arena + out_.origin() + y * out_.row();
    work.count = out_.width * out_.col();
    work.activation = activation_;
    work.negative_slope = node_.negative_slope;
    kernel_->fn(work);
  }

  int levels_;
  Node node_;
  BufferLayout a_;
  BufferLayout b_;
  BufferLayout out_;
  bool has_b_;
  Activation activation_;
  const ElementwiseKernel* kernel_;
};

}  // namespace

std::unique_ptr<Step> make_elementwise_step(const Graph& graph, const Plan& plan,
                                            const PlannedStep& planned, Isa isa) {
  return std::make_unique<ElementwiseStep>(graph, plan, planned, isa);
}

}  // namespace aio
