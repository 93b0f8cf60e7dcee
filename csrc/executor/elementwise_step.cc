// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "csrc/executor/rows.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/elementwise/elementwise.h"

namespace aio {
namespace {

ElementwiseOp elementwise_op(Op op) {
  if (op == Op::kAdd) return ElementwiseOp::kAdd;
  return op == Op::kMul ? ElementwiseOp::kMul : ElementwiseOp::kCopy;
}

// Addition, multiplication and activations. An operand of one pixel is broadcast over the other's.
class ElementwiseStep final : public Step {
 public:
  ElementwiseStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        op_(elementwise_op(node_.op)),
        a_(plan.buffer(planned.inputs[0])),
        b_(plan.buffer(planned.inputs.back())),
        out_(plan.buffer(planned.output)),
        activation_(planned.activation),
        kernel_(select_elementwise(isa)) {
    if (!same_pixels(a_, out_)) std::swap(a_, b_);
    broadcast_ = !same_pixels(b_, out_);
    one_span_ = !broadcast_ && spans_rows(a_) && spans_rows(b_) && spans_rows(out_);
  }

  void run(const RunContext& context, int /*level*/) const override {
    zero_halo(out_, context.arena);
    run_rows(context, node_.shape, out_.height, [&](int64_t y) { run_row(context.arena, y); });
  }

  LayerInfo info() const override { return describe_node(node_, kernel_->name, levels_); }

 private:
  static bool same_pixels(const BufferLayout& x, const BufferLayout& y) {
    return x.height == y.height && x.width == y.width;
  }

  // The pixels of a row can be taken for one long pixel.
  bool spans_rows(const BufferLayout& buffer) const {
    return !buffer.is_part && buffer.col() == out_.col();
  }

  void run_row(float* arena, int64_t y) const {
    Elementwise work{};
    work.op = op_;
    work.a = arena + a_.origin() + y * a_.row();
    work.b = arena + b_.origin() + (broadcast_ ? 0 : y * b_.row());
    work.out = arena + out_.origin() + y * out_.row();
    work.pixels = one_span_ ? 1 : out_.width;
    work.channels = one_span_ ? out_.width * out_.col() : block_channels(node_.shape.channels);
    work.a_col = a_.col();
    work.b_col = broadcast_ ? 0 : b_.col();
    work.out_col = out_.col();
    work.activation = activation_;
    work.negative_slope = node_.negative_slope;
    kernel_->fn(work);
  }

  int levels_;
  Node node_;
  ElementwiseOp op_;
  BufferLayout a_;
  BufferLayout b_;  // as a_ where there is but one operand
  BufferLayout out_;
  bool broadcast_ = false;  // b_ is one pixel
  bool one_span_ = false;
  Activation activation_;
  const ElementwiseKernel* kernel_;
};

}  // namespace

std::unique_ptr<Step> make_elementwise_step(const Graph& graph, const Plan& plan,
                                            const PlannedStep& planned, Isa isa) {
  return std::make_unique<ElementwiseStep>(graph, plan, planned, isa);
}

}  // namespace aio
