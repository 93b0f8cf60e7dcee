// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/concat_plan.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {

size_t at(int index) { return static_cast<size_t>(index); }

class Joiner {
 public:
  Joiner(const Graph& graph, Plan* plan) : nodes_(graph.nodes()), plan_(plan) {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      plan_->ranges.push_back({static_cast<int>(i), 0});
    }
  }

  // The last concatenation first: those before it may be parts of it.
  void run() {
    for (int id = static_cast<int>(nodes_.size()) - 1; id >= 0; --id) {
      if (nodes_[at(id)].op == Op::kConcat && !become_view(id)) take_inputs(id);
    }
    for (PlannedStep& step : plan_->steps) {
      if (nodes_[at(step.node)].op == Op::kConcat) keep_copies(&step);
    }
    const auto is_done = [&](const PlannedStep& step) {
      return nodes_[at(step.node)].op == Op::kConcat && step.inputs.empty();
    };
    plan_->steps.erase(std::remove_if(plan_->steps.begin(), plan_->steps.end(), is_done),
                       plan_->steps.end());
  }

 private:
  const Shape& shape(int value) const { return nodes_[at(value)].shape; }
  int stored(int value) const { return plan_->storage[at(value)]; }
  bool is_alone(int value) const { return plan_->range(value) == ChannelRange{value, 0}; }

  // Calls visit(stored value, channel) for each value joined, until it returns false.
  template <typename Visit>
  bool all_inputs(int concat, Visit visit) const {
    int channel = plan_->range(concat).begin;
    for (const int input : nodes_[at(concat)].inputs) {
      if (!visit(stored(input), channel)) return false;
      channel +=
          static_cast<int>(shape(input).size() / (shape(concat).height * shape(concat).width));
    }
    return true;
  }

  // All that it joins lies side by side in another concatenation already.
  bool become_view(int concat) {
    if (!is_alone(concat)) return false;
    const ChannelRange first = plan_->range(nodes_[at(concat)].inputs[0]);
    if (first.whole == stored(nodes_[at(concat)].inputs[0])) return false;
    const bool in_row = all_inputs(concat, [&](int value, int channel) {
      return plan_->range(value) == ChannelRange{first.whole, first.begin + channel};
    });
    if (in_row) plan_->ranges[at(concat)] = first;
    return in_row;
  }

  void take_inputs(int concat) {
    const int whole = plan_->range(concat).whole;
    all_inputs(concat, [&](int value, int channel) {
      const Shape& part = shape(value);
      const bool same_pixels =
          part.height == shape(concat).height && part.width == shape(concat).width;
      const bool fits =
          channel % kChannelPad == 0 &&
          (part.channels % kChannelPad == 0 || channel + part.channels == shape(whole).channels);
      if (same_pixels && fits && is_alone(value) && nodes_[at(value)].op != Op::kInput) {
        plan_->ranges[at(value)] = {whole, channel};
      }
      return true;
    });
  }

  void keep_copies(PlannedStep* step) const {
    step->inputs.clear();
    all_inputs(step->node, [&](int value, int channel) {
      const ChannelRange here{plan_->range(step->node).whole, channel};
      if (!(plan_->range(value) == here)) step->inputs.push_back(value);
      return true;
    });
  }

  const std::vector<Node>& nodes_;
  Plan* plan_;
};

}  // namespace

void join_in_place(const Graph& graph, Plan* plan) { Joiner(graph, plan).run(); }

}  // namespace aio
