// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/step.h"
#include "csrc/kernels/elementwise/elementwise.h"

namespace aio {
namespace {

// Below this many values a layer is faster on one thread than the hand-over takes.
constexpr int64_t kMinParallelValues = 64 * 1024;

class ElementwiseStep final : public Step {
 public:
  ElementwiseStep(const Graph& graph, const Plan& plan, const PlannedStep& planned)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        a_(plan.buffer(planned.inputs[0])),
        b_(planned.inputs.size() > 1 ? plan.buffer(planned.inputs[1]) : BufferLayout()),
        out_(plan.buffer(planned.output)),
        has_b_(planned.inputs.size() > 1),
        activation_(planned.activation) {}

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

  LayerInfo info() const override {
    LayerInfo info;
    info.name = node_.name;
    info.op = op_name(node_.op);
    info.kernel = "add_activate_f32";
    info.output_shape = node_.shape;
    info.macs.assign(static_cast<size_t>(levels_), 0);
    info.nonzero_weights.assign(static_cast<size_t>(levels_), 0);
    return info;
  }

 private:
  struct Job {
    const ElementwiseStep* step;
    float* arena;
  };

  void run_row(float* arena, int64_t y) const {
    const float* a = arena + a_.origin() + y * a_.row();
    const float* b = has_b_ ? arena + b_.origin() + y * b_.row() : nullptr;
    float* out = arena + out_.origin() + y * out_.row();
    add_activate(a, b, out, out_.width * out_.col(), activation_);
  }

  int levels_;
  Node node_;
  BufferLayout a_;
  BufferLayout b_;
  BufferLayout out_;
  bool has_b_;
  Activation activation_;
};

}  // namespace

std::unique_ptr<Step> make_elementwise_step(const Graph& graph, const Plan& plan,
                                            const PlannedStep& planned) {
  return std::make_unique<ElementwiseStep>(graph, plan, planned);
}

}  // namespace aio
