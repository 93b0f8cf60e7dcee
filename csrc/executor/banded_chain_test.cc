// SPDX-License-Identifier: Apache-2.0
//
// Random chains of convolutions and poolings give the same bits band by band as step by step, on
// any number of threads, whatever their windows, sizes and levels.
#include "csrc/executor/banded_chain.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/executor/executor.h"

namespace {

constexpr int kLevels = 3;

// What a random graph is made of; made again from the same seed for each executor.
class Builder {
 public:
  explicit Builder(uint32_t seed) : generator_(seed) {}

  aio::Graph build() {
    aio::Graph graph(kLevels);
    channels_ = below(2) == 0 ? 3 : 1 + below(40);
    height_ = 1 + below(70);
    width_ = 1 + below(40);
    inputs_ = channels_ * height_ * width_;
    int value = 0;
    AIO_CHECK(graph.add_input("x", channels_, height_, width_, &value).is_ok());
    const int steps = 2 + below(9);  // more than a chain may have
    for (int i = 0; i < steps; ++i) value = add_step(&graph, i, value);
    AIO_CHECK(graph.add_output(value).is_ok());
    outputs_ = static_cast<int>(graph.nodes()[static_cast<size_t>(value)].shape.size());
    return graph;
  }

  std::vector<float> input() {
    std::normal_distribution<float> normal;
    std::vector<float> x(static_cast<size_t>(inputs_));
    for (float& value : x) value = normal(generator_);
    return x;
  }

  int outputs() const { return outputs_; }
  int below(int limit) {
    return static_cast<int>(generator_() % static_cast<uint32_t>(std::max(limit, 1)));
  }

 private:
  int add_step(aio::Graph* graph, int number, int value) {
    const std::string name = "step" + std::to_string(number);
    const aio::Window2d window = random_window();
    const int before = value;
    const int in_channels = channels_;
    switch (below(4)) {
      case 0:
        AIO_CHECK(graph
                      ->add_pool(name, below(2) == 0 ? aio::Op::kMaxPool2d : aio::Op::kAvgPool2d,
                                 value, pool_window(window), below(2) == 0, &value)
                      .is_ok());
        break;
      case 1:
        if (channels_ > 1) {
          AIO_CHECK(graph
                        ->add_conv2d(name, value, weights(window, 1, channels_, channels_), window,
                                     &value)
                        .is_ok());
          break;
        }
        [[fallthrough]];
      default: {
        channels_ = below(3) == 0 ? channels_ : 1 + below(40);
        AIO_CHECK(graph
                      ->add_conv2d(name, value, weights(window, in_channels, channels_, 1), window,
                                   &value)
                      .is_ok());
      }
    }
    const aio::Shape& shape = graph->nodes()[static_cast<size_t>(value)].shape;
    height_ = shape.height;
    width_ = shape.width;
    const bool same = graph->nodes()[static_cast<size_t>(before)].shape.same_image(shape);
    if (same && below(3) == 0) {
      AIO_CHECK(graph->add_add(name + ".add", value, before, &value).is_ok());
    }
    if (below(2) == 0) {
      AIO_CHECK(
          graph->add_activation(name + ".relu", value, aio::Activation::kRelu, &value).is_ok());
    }
    return value;
  }

  aio::Window2d random_window() {
    aio::Window2d w;
    w.kernel_h = 1 + below(std::min(5, height_));
    w.kernel_w = 1 + below(std::min(5, width_));
    w.stride_h = 1 + below(3) / 2 * below(3);
    w.stride_w = 1 + below(3) / 2;
    w.dilation_h = (w.kernel_h - 1) * 2 < height_ ? 1 + below(2) : 1;
    w.pad_top = below(w.kernel_h);
    w.pad_bottom = below(w.kernel_h + 1);
    w.pad_left = below(w.kernel_w);
    w.pad_right = below(w.kernel_w);
    return w;
  }

  // Of a pooling, padding is at most half of the window, and there is no dilation.
  static aio::Window2d pool_window(aio::Window2d w) {
    w.dilation_h = 1;
    w.pad_top = std::min(w.pad_top, w.kernel_h / 2);
    w.pad_bottom = std::min(w.pad_bottom, w.kernel_h / 2);
    w.pad_left = std::min(w.pad_left, w.kernel_w / 2);
    w.pad_right = std::min(w.pad_right, w.kernel_w / 2);
    return w;
  }

  aio::LayerWeights weights(const aio::Window2d& window, int in, int out, int groups) {
    std::uniform_real_distribution<float> uniform;
    aio::LayerWeights w;
    w.groups = groups;
    w.in_channels = in;
    w.out_channels = out;
    w.kernel_h = window.kernel_h;
    w.kernel_w = window.kernel_w;
    const int elements = in * w.kernel_h * w.kernel_w;
    std::vector<float> weight, score;
    for (int i = 0; i < out * elements; ++i) weight.push_back(uniform(generator_) - 0.5f);
    for (int i = 0; i < aio::blocks_of(out, w.layout) * elements; ++i) {
      score.push_back(uniform(generator_));
    }
    w.weight = std::move(weight);
    w.score = std::move(score);
    w.threshold = {-1.0f, 0.5f, 0.8f};
    return w;
  }

  std::mt19937 generator_;
  int channels_ = 0;
  int height_ = 0;
  int width_ = 0;
  int inputs_ = 0;
  int outputs_ = 0;
};

std::unique_ptr<aio::Executor> make_executor(uint32_t seed, int threads, int64_t min_bytes) {
  std::unique_ptr<aio::Executor> executor;
  const aio::Status status = aio::Executor::create(
      Builder(seed).build(), threads, aio::list_isas(aio::detect_isa())[0], &executor, min_bytes);
  AIO_CHECK(status.is_ok());
  return executor;
}

std::vector<float> run(aio::Executor* executor, const std::vector<float>& x, size_t outputs) {
  std::vector<float> y(outputs);
  const float* in[] = {x.data()};
  float* out[] = {y.data()};
  executor->run(in, 1, out);
  return y;
}

// Several runs, so that what one leaves behind in the windows is seen by the next.
void test_random_chain(uint32_t seed, int* chained_steps) {
  Builder builder(seed);
  const aio::Graph graph = builder.build();
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan, 0).is_ok());
  for (const aio::ChainRange& chain : plan.chains) *chained_steps += chain.last - chain.first + 1;
  const std::vector<float> x = builder.input();
  const auto outputs = static_cast<size_t>(builder.outputs());
  const auto plain = make_executor(seed, 1, std::numeric_limits<int64_t>::max());
  const auto banded = make_executor(seed, builder.below(4) == 0 ? 9 : 1 + builder.below(4), 0);
  std::vector<int> levels(plain->layers().size());
  for (int round = 0; round < 4; ++round) {
    for (int& level : levels) level = builder.below(kLevels);
    banded->set_profiling(round == 2);
    AIO_CHECK(plain->set_layer_levels(levels).is_ok());
    AIO_CHECK(banded->set_layer_levels(levels).is_ok());
    const bool same = run(banded.get(), x, outputs) == run(plain.get(), x, outputs);
    if (!same)
      std::fprintf(stderr, "seed %u round %d threads %d\n", seed, round, banded->threads());
    AIO_CHECK(same);
  }
}

aio::LayerWeights ones(int out, int in, int kernel) {
  aio::LayerWeights weights;
  weights.out_channels = out;
  weights.in_channels = in;
  weights.kernel_h = weights.kernel_w = kernel;
  weights.weight = std::vector<float>(static_cast<size_t>(out * in * kernel * kernel), 0.01f);
  return weights;
}

// Two convolutions of 3x3 whose value in between has `channels`.
aio::Graph two_convolutions(int channels) {
  aio::Graph graph(1);
  aio::Window2d window;
  window.kernel_h = window.kernel_w = 3;
  window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = 1;
  int value = 0;
  AIO_CHECK(graph.add_input("x", 3, 40, 200, &value).is_ok());
  AIO_CHECK(graph.add_conv2d("a", value, ones(channels, 3, 3), window, &value).is_ok());
  AIO_CHECK(graph.add_conv2d("b", value, ones(16, channels, 3), window, &value).is_ok());
  AIO_CHECK(graph.add_output(value).is_ok());
  return graph;
}

// The layers' times add up to what the chain took.
void test_profiled_chain() {
  std::unique_ptr<aio::Executor> executor;
  AIO_CHECK(aio::Executor::create(two_convolutions(16), 2, aio::list_isas(aio::detect_isa())[0],
                                  &executor, 0)
                .is_ok());
  executor->set_profiling(true);
  run(executor.get(), std::vector<float>(3 * 40 * 200, 1.0f), 16 * 40 * 200);
  const std::vector<int64_t> ns = executor->layer_ns();
  AIO_CHECK(ns.size() == 2 && ns[0] > 0 && ns[1] > 0);
}

// What a cache cannot hold even a few rows of is not a chain, nor is what is small as a whole.
void test_what_is_a_chain() {
  const auto count = [](const aio::Graph& graph, int64_t min_bytes) {
    aio::Plan plan;
    AIO_CHECK(aio::make_plan(graph, &plan, min_bytes).is_ok());
    return plan.chains.size();
  };
  AIO_CHECK(count(two_convolutions(64), 2048000) == 1);  // 64 x 40 x 200 floats
  AIO_CHECK(count(two_convolutions(64), 2048001) == 0);
  AIO_CHECK(count(two_convolutions(16 * 16), 0) == 0);
}

// Values that are alive at once in a chain have places of their own.
void test_buffers_of_a_chain_do_not_overlap() {
  const aio::Graph graph = two_convolutions(16);
  aio::Plan plan;
  AIO_CHECK(aio::make_plan(graph, &plan, 0).is_ok());
  AIO_CHECK(plan.chains.size() == 1 && plan.chains[0].first == 0 && plan.chains[0].last == 1);
  const aio::BufferLayout& in = plan.buffer(plan.steps[0].inputs[0]);
  const aio::BufferLayout& out = plan.buffer(plan.steps[1].output);
  AIO_CHECK(in.arena_offset + in.size <= out.arena_offset ||
            out.arena_offset + out.size <= in.arena_offset);
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  int chained_steps = 0;
  constexpr int kChains = 300;
  for (int i = 0; i < kChains; ++i) {
    test_random_chain(static_cast<uint32_t>(generator()), &chained_steps);
  }
  AIO_CHECK(chained_steps > kChains);
  test_profiled_chain();
  test_what_is_a_chain();
  test_buffers_of_a_chain_do_not_overlap();
  return aio::finish_checks();
}
