// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/chain_plan.h"

#include <algorithm>
#include <vector>

namespace aio {
namespace {

bool is_by_rows(Op op) { return op == Op::kConv2d || op == Op::kMaxPool2d || op == Op::kAvgPool2d; }

// How often each value is read, and once more if it leaves the graph.
std::vector<int> count_uses(const Graph& graph, const Plan& plan) {
  std::vector<int> uses(graph.nodes().size(), 0);
  const auto use = [&](int value) { ++uses[static_cast<size_t>(value)]; };
  for (const PlannedStep& step : plan.steps) {
    std::for_each(step.inputs.begin(), step.inputs.end(), use);
    if (step.residual != kNoValue) use(step.residual);
  }
  for (const int output : graph.outputs()) use(plan.storage[static_cast<size_t>(output)]);
  return uses;
}

bool has_bands(const Graph& graph, const Plan& plan, ChainRange range) {
  const std::vector<ChainLink> links = chain_links(graph, plan, range);
  BandSplit split;
  return BandSplit::plan(links, 1, &split);
}

}  // namespace

std::vector<ChainLink> chain_links(const Graph& graph, const Plan& plan, ChainRange range) {
  std::vector<ChainLink> links;
  for (int i = range.first; i <= range.last; ++i) {
    const PlannedStep& step = plan.steps[static_cast<size_t>(i)];
    const Node& node = graph.nodes()[static_cast<size_t>(step.node)];
    links.push_back({node.window, plan.buffer(step.output)});
  }
  return links;
}

void find_chains(const Graph& graph, int64_t min_bytes, Plan* plan) {
  const std::vector<int> uses = count_uses(graph, *plan);
  const auto op_of = [&](const PlannedStep& step) {
    return graph.nodes()[static_cast<size_t>(step.node)].op;
  };
  // A part of a concatenation shares its pixels with others.
  const auto is_whole = [&](int value) {
    return std::count_if(plan->ranges.begin(), plan->ranges.end(), [&](const ChannelRange& range) {
             return range.whole == plan->range(value).whole;
           }) == 1;
  };
  const auto hands_on = [&](const PlannedStep& from, const PlannedStep& to) {
    const int value = from.output;
    const Shape& shape = graph.nodes()[static_cast<size_t>(value)].shape;
    return is_by_rows(op_of(from)) && is_by_rows(op_of(to)) && to.inputs[0] == value &&
           uses[static_cast<size_t>(value)] == 1 && is_whole(value) &&
           shape.size() * int64_t{sizeof(float)} >= min_bytes;
  };
  const int steps = static_cast<int>(plan->steps.size());
  for (int first = 0, last = 0; first < steps; first = ++last) {
    const auto step = [&](int i) -> const PlannedStep& {
      return plan->steps[static_cast<size_t>(i)];
    };
    while (last + 1 < steps && last + 1 - first < kMaxChain &&
           hands_on(step(last), step(last + 1)) && has_bands(graph, *plan, {first, last + 1})) {
      ++last;
    }
    if (last > first) plan->chains.push_back({first, last});
  }
}

}  // namespace aio
