// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/planner.h"

#include <string>
#include <utility>
#include <vector>

#include "csrc/base/check.h"

namespace {

aio::LayerWeights conv_weights(int out, int in, int kernel) {
  aio::LayerWeights weights;
  weights.out_channels = out;
  weights.in_channels = in;
  weights.kernel_h = weights.kernel_w = kernel;
  weights.weight = std::vector<float>(static_cast<size_t>(out * in * kernel * kernel), 0.1f);
  return weights;
}

aio::Window2d padded(int pad, int stride) {
  aio::Window2d window;
  window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = pad;
  window.stride_h = window.stride_w = stride;
  return window;
}

// A residual block: relu(conv2(relu(conv1(x))) + x).
aio::Graph residual_block() {
  aio::Graph graph(1);
  int x = 0, a = 0, b = 0, c = 0, sum = 0, y = 0;
  AIO_CHECK(graph.add_input("x", 32, 9, 7, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("conv1", x, conv_weights(32, 32, 3), padded(1, 1), &a).is_ok());
  AIO_CHECK(graph.add_activation("relu1", a, aio::Activation::kRelu, &b).is_ok());
  AIO_CHECK(graph.add_conv2d("conv2", b, conv_weights(32, 32, 3), padded(1, 1), &c).is_ok());
  AIO_CHECK(graph.add_add("sum", c, x, &sum).is_ok());
  AIO_CHECK(graph.add_activation("relu2", sum, aio::Activation::kRelu, &y).is_ok());
  AIO_CHECK(graph.add_output(y).is_ok());
  return graph;
}

void test_residual_block_is_two_steps() {
  const aio::Graph graph = residual_block();
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  AIO_CHECK(plan.steps.size() == 2);
  AIO_CHECK(plan.steps[0].activation == aio::Activation::kRelu && plan.steps[0].output == 2);
  AIO_CHECK(plan.steps[1].residual == 0 && plan.steps[1].output == 5);
  AIO_CHECK(plan.steps[1].activation == aio::Activation::kRelu);
}

void test_a_value_used_twice_is_not_fused_away() {
  aio::Graph graph(1);
  int x = 0, a = 0, r = 0, sum = 0;
  AIO_CHECK(graph.add_input("x", 16, 4, 4, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("conv", x, conv_weights(16, 16, 1), padded(0, 1), &a).is_ok());
  AIO_CHECK(graph.add_activation("relu", a, aio::Activation::kRelu, &r).is_ok());
  AIO_CHECK(graph.add_add("sum", a, r, &sum).is_ok());
  AIO_CHECK(graph.add_output(sum).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  AIO_CHECK(plan.steps.size() == 3);
  for (const aio::PlannedStep& step : plan.steps) AIO_CHECK(step.residual == aio::kNoValue);
}

void test_halo_is_what_the_taps_reach() {
  aio::Graph graph(1);
  int x = 0, y = 0;
  AIO_CHECK(graph.add_input("x", 3, 8, 8, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("conv", x, conv_weights(16, 3, 3), padded(1, 2), &y).is_ok());
  AIO_CHECK(graph.add_output(y).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  const aio::BufferLayout& in = plan.buffer(x);
  AIO_CHECK(in.halo_top == 1 && in.halo_left == 1);
  AIO_CHECK(in.halo_bottom == 0 && in.halo_right == 0);  // stride 2 never reaches the last padding
  AIO_CHECK(in.channel_stride == 3);                     // only broadcasts read it
}

// A depthwise kernel loads 16 channels at once, so even a narrow input has them all.
void test_depthwise_input_is_whole_blocks() {
  aio::Graph graph(1);
  int x = 0, y = 0;
  aio::LayerWeights weights = conv_weights(3, 1, 3);
  weights.groups = 3;
  AIO_CHECK(graph.add_input("x", 3, 8, 8, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("conv", x, std::move(weights), padded(1, 1), &y).is_ok());
  AIO_CHECK(graph.add_output(y).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  AIO_CHECK(plan.buffer(x).channel_stride == 16 && plan.buffer(x).halo_right == 1);
}

// In a chain, a buffer's place is taken again two layers later; buffers alive together never
// overlap.
void test_arena_is_shared() {
  aio::Graph graph(1);
  int value = 0;
  AIO_CHECK(graph.add_input("x", 16, 16, 16, &value).is_ok());
  for (int i = 0; i < 10; ++i) {
    AIO_CHECK(graph
                  .add_conv2d("conv" + std::to_string(i), value, conv_weights(16, 16, 3),
                              padded(1, 1), &value)
                  .is_ok());
  }
  AIO_CHECK(graph.add_output(value).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  AIO_CHECK(plan.arena_size <= 2 * plan.buffer(0).size);
  for (const aio::PlannedStep& step : plan.steps) {
    const aio::BufferLayout& in = plan.buffer(step.inputs[0]);
    const aio::BufferLayout& out = plan.buffer(step.output);
    AIO_CHECK(in.arena_offset + in.size <= out.arena_offset ||
              out.arena_offset + out.size <= in.arena_offset);
  }
}

// Two places are free for the last value: the lower one was in use long ago, the other right
// before.
void test_a_place_used_recently_is_taken_again() {
  aio::Graph graph(1);
  int x = 0, a = 0, b = 0, c = 0, d = 0, e = 0;
  const auto conv = [&](const char* name, int in, int* out) {
    AIO_CHECK(graph.add_conv2d(name, in, conv_weights(16, 16, 3), padded(1, 1), out).is_ok());
  };
  AIO_CHECK(graph.add_input("x", 16, 16, 16, &x).is_ok());
  conv("a", x, &a);
  conv("b", a, &b);
  AIO_CHECK(graph.add_add("c", b, x, &c).is_ok());  // takes x, which is the lowest until here
  conv("d", c, &d);
  conv("e", d, &e);
  AIO_CHECK(graph.add_output(e).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  const int64_t size = plan.buffer(x).size;
  AIO_CHECK(plan.arena_size <= 3 * size);
  const int joined = plan.steps[1].output;  // b with x added
  AIO_CHECK(plan.buffer(x).arena_offset == 0);
  AIO_CHECK(plan.buffer(a).arena_offset == size);
  AIO_CHECK(plan.buffer(joined).arena_offset == 2 * size);
  AIO_CHECK(plan.buffer(d).arena_offset == 0);         // x and a ended together
  AIO_CHECK(plan.buffer(e).arena_offset == 2 * size);  // c just now, a two steps ago
}

// A product takes the activation behind it, but no layer takes a sum that is broadcast.
void test_broadcasts_are_steps_of_their_own() {
  aio::Graph graph(1);
  int x = 0, gate = 0, y = 0, z = 0;
  AIO_CHECK(graph.add_input("x", 16, 4, 4, &x).is_ok());
  AIO_CHECK(graph.add_adaptive_pool("pool", aio::Op::kAdaptiveAvgPool2d, x, 1, 1, &gate).is_ok());
  AIO_CHECK(graph.add_mul("mul", gate, x, &y).is_ok());
  AIO_CHECK(graph.add_activation("relu", y, aio::Activation::kRelu, &y).is_ok());
  AIO_CHECK(graph.add_conv2d("conv", y, conv_weights(16, 16, 1), padded(0, 1), &z).is_ok());
  AIO_CHECK(graph.add_add("sum", z, gate, &z).is_ok());
  AIO_CHECK(graph.add_output(z).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  AIO_CHECK(plan.steps.size() == 4);
  AIO_CHECK(plan.steps[1].activation == aio::Activation::kRelu && plan.steps[1].output == y);
  AIO_CHECK(plan.steps[2].residual == aio::kNoValue);
  AIO_CHECK(plan.buffer(y).height == 4 && plan.buffer(gate).height == 1);
}

// x, conv1(x), conv2(cat(x, conv1)), ... where x is made by a step: its values and all
// concatenations of them lie in the last one.
void test_a_dense_block_copies_nothing() {
  aio::Graph graph(1);
  int input = 0, joined = 0;
  AIO_CHECK(graph.add_input("x", 32, 6, 5, &input).is_ok());
  std::vector<int> parts(1);
  AIO_CHECK(graph.add_affine("first", input, {}, {}, &parts[0]).is_ok());
  joined = parts[0];
  std::vector<int> joins;
  for (int i = 0; i < 3; ++i) {
    const std::string number = std::to_string(i);
    int value = 0;
    AIO_CHECK(graph
                  .add_conv2d("conv" + number, joined, conv_weights(16, 32 + 16 * i, 3),
                              padded(1, 1), &value)
                  .is_ok());
    parts.push_back(value);
    AIO_CHECK(graph.add_concat("cat" + number, parts, &joined).is_ok());
    joins.push_back(joined);
  }
  AIO_CHECK(graph.add_output(joined).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  AIO_CHECK(plan.steps.size() == 4);  // no copy
  const aio::BufferLayout& whole = plan.buffer(joined);
  AIO_CHECK(!whole.is_part && whole.halo_top == 1 && whole.channel_stride == 80);
  for (size_t i = 0; i < parts.size(); ++i) {
    const int begin = i == 0 ? 0 : 16 + 16 * static_cast<int>(i);
    AIO_CHECK(plan.range(parts[i]) == (aio::ChannelRange{joined, begin}));
    const aio::BufferLayout& part = plan.buffer(parts[i]);
    AIO_CHECK(part.is_part && part.origin() == whole.origin() + begin && part.row() == whole.row());
  }
  for (const int value : joins) AIO_CHECK(plan.range(value) == (aio::ChannelRange{joined, 0}));
}

// A graph input, a value that would not begin or end with a block, and one that lies in another
// concatenation already.
void test_what_cannot_be_made_in_place_is_copied() {
  aio::Graph graph(1);
  int x = 0, a = 0, b = 0, c = 0, first = 0, second = 0;
  AIO_CHECK(graph.add_input("x", 16, 3, 3, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("a", x, conv_weights(20, 16, 1), padded(0, 1), &a).is_ok());
  AIO_CHECK(graph.add_conv2d("b", x, conv_weights(16, 16, 1), padded(0, 1), &b).is_ok());
  AIO_CHECK(graph.add_conv2d("c", x, conv_weights(9, 16, 1), padded(0, 1), &c).is_ok());
  AIO_CHECK(graph.add_concat("first", {b, x, c}, &first).is_ok());
  AIO_CHECK(graph.add_concat("second", {x, b, b, a, a}, &second).is_ok());
  AIO_CHECK(graph.add_output(first).is_ok());
  AIO_CHECK(graph.add_output(second).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  AIO_CHECK(plan.steps.size() == 5);
  AIO_CHECK(plan.range(b) == (aio::ChannelRange{second, 16}));
  AIO_CHECK(plan.range(a) == (aio::ChannelRange{a, 0}));
  AIO_CHECK(plan.range(c) == (aio::ChannelRange{first, 32}));  // the last may fill up its block
  AIO_CHECK(plan.steps[3].inputs == std::vector<int>({b, x}));
  AIO_CHECK(plan.steps[4].inputs == std::vector<int>({x, b, a, a}));
}

// Alive from the first part that is made: what runs in between must not take its place.
void test_a_whole_lives_from_its_first_part() {
  aio::Graph graph(1);
  int x = 0, a = 0, b = 0, y = 0;
  AIO_CHECK(graph.add_input("x", 16, 8, 8, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("a", x, conv_weights(16, 16, 1), padded(0, 1), &a).is_ok());
  AIO_CHECK(graph.add_conv2d("b", x, conv_weights(16, 16, 1), padded(0, 1), &b).is_ok());
  AIO_CHECK(graph.add_conv2d("c", b, conv_weights(16, 16, 1), padded(0, 1), &b).is_ok());
  AIO_CHECK(graph.add_concat("cat", {b, a}, &y).is_ok());
  AIO_CHECK(graph.add_output(y).is_ok());
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan).is_ok());
  const aio::BufferLayout& whole = plan.buffer(y);
  const aio::BufferLayout& between = plan.buffer(plan.steps[1].output);
  AIO_CHECK(plan.range(a) == (aio::ChannelRange{y, 16}));
  AIO_CHECK(whole.arena_offset + whole.size <= between.arena_offset ||
            between.arena_offset + between.size <= whole.arena_offset);
}

void test_refusals_name_the_node() {
  aio::Graph graph(1);
  int x = 0, y = 0;
  AIO_CHECK(graph.add_input("x", 3, 8, 8, &x).is_ok());
  const auto refused = [](const aio::Status& status, const char* text) {
    return status.message().find(text) != std::string::npos;
  };
  AIO_CHECK(refused(graph.add_conv2d("stem", x, conv_weights(16, 4, 3), padded(1, 1), &y),
                    "node 'stem': weight has 4 input channels, its input has 3"));
  AIO_CHECK(refused(graph.add_conv2d("big", x, conv_weights(16, 3, 11), padded(1, 1), &y),
                    "kernel reaches over 11x11 but the padded input is 10x10"));
  AIO_CHECK(refused(graph.add_linear("fc", x, conv_weights(10, 192, 1), &y), "needs a flat input"));
  AIO_CHECK(refused(graph.add_pool("pool", aio::Op::kMaxPool2d, x, padded(1, 1), true, &y),
                    "node 'pool': vertical padding 1 is outside [0, 0]"));
  aio::Plan plan;
  AIO_CHECK(refused(aio::make_plan(graph, &plan), "no output"));
}

}  // namespace

int main() {
  test_residual_block_is_two_steps();
  test_a_value_used_twice_is_not_fused_away();
  test_halo_is_what_the_taps_reach();
  test_depthwise_input_is_whole_blocks();
  test_arena_is_shared();
  test_a_place_used_recently_is_taken_again();
  test_broadcasts_are_steps_of_their_own();
  test_a_dense_block_copies_nothing();
  test_what_cannot_be_made_in_place_is_copied();
  test_a_whole_lives_from_its_first_part();
  test_refusals_name_the_node();
  return aio::finish_checks();
}
