// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/planner.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <numeric>

#include "csrc/executor/chain_plan.h"
#include "csrc/executor/concat_plan.h"
#include "csrc/kernels/block_layout.h"

namespace aio {
namespace {

constexpr int64_t kAlignFloats = 16;
constexpr int64_t kMaxArenaFloats = int64_t{1} << 28;  // 1 GiB

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

size_t at(int index) { return static_cast<size_t>(index); }

// Builds the steps in node order, fusing as it goes.
class Fuser {
 public:
  Fuser(const Graph& graph, Plan* plan)
      : nodes_(graph.nodes()), plan_(plan), uses_(nodes_.size()), made_by_(nodes_.size(), -1) {
    plan_->storage.resize(nodes_.size());
    std::iota(plan_->storage.begin(), plan_->storage.end(), 0);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].op == Op::kFlatten) plan_->storage[i] = stored(nodes_[i].inputs[0]);
    }
    for (const Node& node : nodes_) {
      if (node.op == Op::kFlatten) continue;
      for (const int input : node.inputs) ++uses_[at(stored(input))];
    }
    for (const int output : graph.outputs()) ++uses_[at(stored(output))];
  }

  void run() {
    for (int id = 0; id < static_cast<int>(nodes_.size()); ++id) {
      const Node& node = nodes_[at(id)];
      if (node.op == Op::kInput || node.op == Op::kFlatten) continue;
      if (node.op == Op::kAdd && fuse_add(id)) continue;
      if (node.op == Op::kActivation && fuse_activation(id)) continue;
      PlannedStep step;
      step.node = id;
      for (const int input : node.inputs) step.inputs.push_back(stored(input));
      step.activation = node.activation;
      step.output = id;
      made_by_[at(id)] = static_cast<int>(plan_->steps.size());
      plan_->steps.push_back(std::move(step));
    }
  }

 private:
  int stored(int value) const { return plan_->storage[at(value)]; }

  // The step that makes `value`, if its result goes nowhere else and has no activation yet; else
  // -1.
  int open_step(int value) const {
    const int step = made_by_[at(value)];
    if (step < 0 || uses_[at(value)] != 1) return -1;
    return plan_->steps[at(step)].activation == Activation::kNone ? step : -1;
  }

  Op op_of(int step) const { return nodes_[at(plan_->steps[at(step)].node)].op; }

  bool is_layer(int step) const { return op_of(step) == Op::kConv2d || op_of(step) == Op::kLinear; }

  bool ends_with_activation(int step) const {
    const Op op = op_of(step);
    return is_layer(step) || op == Op::kAdd || op == Op::kMul || op == Op::kAffine;
  }

  void set_output(int step, int value) {
    plan_->steps[at(step)].output = value;
    made_by_[at(value)] = step;
  }

  // Leaky ReLU has a slope, for which layers have no place.
  bool fuse_activation(int id) {
    if (nodes_[at(id)].activation == Activation::kLeakyRelu) return false;
    const int step = open_step(stored(nodes_[at(id)].inputs[0]));
    if (step < 0 || !ends_with_activation(step)) return false;
    plan_->steps[at(step)].activation = nodes_[at(id)].activation;
    set_output(step, id);
    return true;
  }

  // The later of the two operands' layers takes the sum, as the other operand is ready by then. It
  // has no place for an operand that is broadcast.
  bool fuse_add(int id) {
    const int a = stored(nodes_[at(id)].inputs[0]);
    const int b = stored(nodes_[at(id)].inputs[1]);
    const bool a_is_later = made_by_[at(a)] > made_by_[at(b)];
    const int step = open_step(a_is_later ? a : b);
    if (a == b || step < 0 || !is_layer(step)) return false;
    if (!nodes_[at(a)].shape.same_image(nodes_[at(b)].shape)) return false;
    if (plan_->steps[at(step)].residual != kNoValue) return false;
    plan_->steps[at(step)].residual = a_is_later ? b : a;
    set_output(step, id);
    return true;
  }

  const std::vector<Node>& nodes_;
  Plan* plan_;
  std::vector<int> uses_;
  std::vector<int> made_by_;
};

// The first and last step at which a value's buffer is in use; -1 is before the first step.
struct Lifetime {
  int value;
  int first;
  int last;
};

// Of values that are no part of another one: a whole lives from the first of its parts that is made
// to the last use of any. The steps of a chain run at the same time.
std::vector<Lifetime> find_lifetimes(const Graph& graph, const Plan& plan) {
  std::vector<Lifetime> lifetimes;
  std::vector<int> slot(graph.nodes().size(), -1);
  std::vector<ChainRange> ranges(plan.steps.size());
  for (int i = 0; i < static_cast<int>(plan.steps.size()); ++i) ranges[at(i)] = {i, i};
  for (const ChainRange& chain : plan.chains) {
    for (int i = chain.first; i <= chain.last; ++i) ranges[at(i)] = chain;
  }
  const auto use = [&](int value, int step) {
    const bool runs = step >= 0 && step < static_cast<int>(plan.steps.size());
    const ChainRange range = runs ? ranges[at(step)] : ChainRange{step, step};
    const int whole = plan.range(value).whole;
    if (slot[at(whole)] < 0) {
      slot[at(whole)] = static_cast<int>(lifetimes.size());
      lifetimes.push_back({whole, range.first, range.last});
    }
    lifetimes[at(slot[at(whole)])].last = range.last;
  };
  for (int id = 0; id < static_cast<int>(graph.nodes().size()); ++id) {
    if (graph.nodes()[at(id)].op == Op::kInput) use(id, -1);
  }
  for (int i = 0; i < static_cast<int>(plan.steps.size()); ++i) {
    const PlannedStep& step = plan.steps[at(i)];
    use(step.output, i);
    for (const int input : step.inputs) use(input, i);
    if (step.residual != kNoValue) use(step.residual, i);
  }
  for (const int output : graph.outputs()) use(output, static_cast<int>(plan.steps.size()));
  return lifetimes;
}

// Grows the halo of a convolution's input to what its taps reach.
void add_halo(const Node& node, BufferLayout* in) {
  const Window2d& w = node.window;
  const int reach_h = (node.shape.height - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1;
  const int reach_w = (node.shape.width - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1;
  in->halo_top = std::max(in->halo_top, w.pad_top);
  in->halo_left = std::max(in->halo_left, w.pad_left);
  in->halo_bottom = std::max(in->halo_bottom, reach_h - w.pad_top - in->height);
  in->halo_right = std::max(in->halo_right, reach_w - w.pad_left - in->width);
}

// Floats between pixels: the channels rounded up to whole vectors. Where that is a multiple of 8
// cache lines, the pixels of one tile would compete for a few sets of the L1 cache (8 ways on
// current cores), so one line is left unused.
int padded_channels(int channels) {
  const int64_t rounded = round_up(channels, kChannelPad);
  const bool conflicts = rounded % (8 * kChannelPad) == 0;
  return static_cast<int>(conflicts ? rounded + kChannelPad : rounded);
}

bool is_depthwise(const Graph& graph, const PlannedStep& step) {
  return graph.nodes()[at(step.node)].weights.is_depthwise();
}

// A network's input of a few channels stays that narrow, if all who read it broadcast single
// elements.
int channel_stride(const Graph& graph, const Plan& plan, int value) {
  const Node& node = graph.nodes()[at(value)];
  const int padded = padded_channels(node.shape.channels);
  if (node.op != Op::kInput || node.shape.channels >= kChannelPad) return padded;
  for (const PlannedStep& step : plan.steps) {
    const Op op = graph.nodes()[at(step.node)].op;
    const bool reads = std::count(step.inputs.begin(), step.inputs.end(), value) > 0;
    const bool broadcasts = op == Op::kLinear || (op == Op::kConv2d && !is_depthwise(graph, step));
    if (step.residual == value || (reads && !broadcasts)) return padded;
  }
  return node.shape.channels;
}

Status lay_out(const Graph& graph, const std::vector<Lifetime>& lifetimes, Plan* plan) {
  plan->buffers.resize(graph.nodes().size());
  for (const Lifetime& lifetime : lifetimes) {
    BufferLayout& buffer = plan->buffers[at(lifetime.value)];
    const Shape& shape = graph.nodes()[at(lifetime.value)].shape;
    buffer.height = shape.height;
    buffer.width = shape.width;
    buffer.channel_stride = channel_stride(graph, *plan, lifetime.value);
  }
  for (const PlannedStep& step : plan->steps) {
    const Node& node = graph.nodes()[at(step.node)];
    if (node.op != Op::kConv2d) continue;
    add_halo(node, &plan->buffers[at(plan->range(step.inputs[0]).whole)]);
  }
  for (const Lifetime& lifetime : lifetimes) {
    BufferLayout& buffer = plan->buffers[at(lifetime.value)];
    const int64_t rows = int64_t{buffer.halo_top} + buffer.height + buffer.halo_bottom;
    buffer.size = round_up(rows * buffer.row(), kAlignFloats);
    if (buffer.size > kMaxArenaFloats) {
      return Status::error("node '" + graph.nodes()[at(lifetime.value)].name +
                           "': its padded image of " + std::to_string(buffer.size) +
                           " floats exceeds the limit of 1 GiB");
    }
  }
  return Status::ok();
}

// Places buffers one after another. Of the places that are free for a buffer's whole life it takes
// the lowest, or one below the arena's end that was in use more recently: caches still hold what
// lay there. MobileNetV2 takes 0.94 of the time by that where it is sparse, ResNet-18 0.99.
class Arena {
 public:
  explicit Arena(Plan* plan) : plan_(plan) {}

  void place(const Lifetime& lifetime) {
    const std::vector<Gap> gaps = find_gaps(lifetime);
    int64_t best = lowest(gaps, size(lifetime));
    const int64_t arena_end = std::max(plan_->arena_size, best + size(lifetime));
    int64_t best_age = age(lifetime, best);
    for (const Lifetime& other : last_used(lifetime)) {
      const int64_t offset = begin(other);
      const int64_t its_end = offset + size(lifetime);
      if (its_end > arena_end || !is_free(gaps, {offset, its_end})) continue;
      const int64_t its_age = age(lifetime, offset);
      if (its_age > best_age || (its_age == best_age && offset > best)) continue;
      best = offset;
      best_age = its_age;
    }
    buffer(lifetime).arena_offset = best;
    plan_->arena_size = arena_end;
    placed_.push_back(lifetime);
  }

 private:
  struct Gap {
    int64_t begin;
    int64_t end;
  };
  static constexpr int kSamples = 32;
  static constexpr size_t kCandidates = 8;
  static constexpr int64_t kWindowFloats = 64 * 1024;  // about

  BufferLayout& buffer(const Lifetime& lifetime) const {
    return plan_->buffers[at(lifetime.value)];
  }
  int64_t size(const Lifetime& lifetime) const { return buffer(lifetime).size; }
  int64_t begin(const Lifetime& lifetime) const { return buffer(lifetime).arena_offset; }

  // Ascending; what no buffer has that is in use during this life. The last one has no end.
  std::vector<Gap> find_gaps(const Lifetime& lifetime) const {
    std::vector<Gap> taken;
    for (const Lifetime& other : placed_) {
      if (other.last < lifetime.first || other.first > lifetime.last) continue;
      taken.push_back({begin(other), begin(other) + size(other)});
    }
    std::sort(taken.begin(), taken.end(),
              [](const Gap& a, const Gap& b) { return a.begin < b.begin; });
    std::vector<Gap> gaps = {{0, std::numeric_limits<int64_t>::max()}};
    for (const Gap& next : taken) {
      const int64_t free_from = std::max(gaps.back().begin, next.end);
      gaps.back().end = next.begin;
      if (gaps.back().end <= gaps.back().begin) gaps.pop_back();
      gaps.push_back({free_from, std::numeric_limits<int64_t>::max()});
    }
    return gaps;
  }

  static int64_t lowest(const std::vector<Gap>& gaps, int64_t floats) {
    const auto fits = [&](const Gap& gap) { return gap.end - gap.begin >= floats; };
    return std::find_if(gaps.begin(), gaps.end(), fits)->begin;
  }

  static bool is_free(const std::vector<Gap>& gaps, Gap wanted) {
    return std::any_of(gaps.begin(), gaps.end(), [&](const Gap& gap) {
      return gap.begin <= wanted.begin && wanted.end <= gap.end;
    });
  }

  // The buffers that were the last in use before this life.
  std::vector<Lifetime> last_used(const Lifetime& lifetime) const {
    std::vector<Lifetime> found;
    std::copy_if(placed_.begin(), placed_.end(), std::back_inserter(found),
                 [&](const Lifetime& other) { return other.last < lifetime.first; });
    const size_t count = std::min(kCandidates, found.size());
    std::partial_sort(found.begin(), found.begin() + static_cast<ptrdiff_t>(count), found.end(),
                      [](const Lifetime& a, const Lifetime& b) { return a.last > b.last; });
    found.resize(count);
    return found;
  }

  // For how many steps what lies there was not in use, summed over some places.
  int64_t age(const Lifetime& lifetime, int64_t offset) const {
    std::array<int64_t, kSamples> last{};
    last.fill(-static_cast<int64_t>(plan_->steps.size()));
    for (const Lifetime& other : placed_) {
      if (other.last >= lifetime.first) continue;
      for (int i = 0; i < kSamples; ++i) {
        const int64_t sample = offset + touched(lifetime) * i / kSamples - begin(other);
        const bool lies_there = sample >= 0 && sample < touched(other);
        if (lies_there) last[at(i)] = std::max<int64_t>(last[at(i)], other.last);
      }
    }
    return kSamples * int64_t{lifetime.first} -
           std::accumulate(last.begin(), last.end(), int64_t{0});
  }

  // Of a value within a chain there are windows only, at its buffer's begin.
  int64_t touched(const Lifetime& lifetime) const {
    const bool handed_on =
        std::any_of(plan_->chains.begin(), plan_->chains.end(), [&](const ChainRange& chain) {
          return lifetime.first == chain.first && lifetime.last == chain.last;
        });
    return handed_on ? std::min(size(lifetime), kWindowFloats) : size(lifetime);
  }

  Plan* plan_;
  std::vector<Lifetime> placed_;
};

// Greedy by size, the largest first.
void place(std::vector<Lifetime> lifetimes, Plan* plan) {
  const auto size = [&](const Lifetime& l) { return plan->buffers[at(l.value)].size; };
  std::sort(lifetimes.begin(), lifetimes.end(), [&](const Lifetime& a, const Lifetime& b) {
    return size(a) != size(b) ? size(a) > size(b) : a.value < b.value;
  });
  Arena arena(plan);
  for (const Lifetime& lifetime : lifetimes) arena.place(lifetime);
}

// Once the wholes have their places.
void locate_parts(Plan* plan) {
  for (size_t value = 0; value < plan->ranges.size(); ++value) {
    const ChannelRange& range = plan->ranges[value];
    if (range.whole == static_cast<int>(value)) continue;
    plan->buffers[value] = plan->buffers[at(range.whole)];
    plan->buffers[value].channel_offset = range.begin;
    plan->buffers[value].is_part = true;
  }
}

}  // namespace

Status make_plan(const Graph& graph, Plan* plan, int64_t min_chained_bytes) {
  AIO_RETURN_IF_ERROR(graph.check_complete());
  Fuser(graph, plan).run();
  join_in_place(graph, plan);
  AIO_RETURN_IF_ERROR(lay_out(graph, find_lifetimes(graph, *plan), plan));
  find_chains(graph, min_chained_bytes, plan);
  place(find_lifetimes(graph, *plan), plan);
  locate_parts(plan);
  if (plan->arena_size > kMaxArenaFloats) {
    return Status::error("the activations need " + std::to_string(plan->arena_size) +
                         " floats at once, more than the limit of 1 GiB");
  }
  return Status::ok();
}

}  // namespace aio
