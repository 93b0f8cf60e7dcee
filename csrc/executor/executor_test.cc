// SPDX-License-Identifier: Apache-2.0
//
// What only a native test can see: that `run` and `set_level` allocate nothing, and that levels may
// change from other threads while it runs.
#include "csrc/executor/executor.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "csrc/base/check.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

// Not inlined: gcc 12 would pair malloc with delete and warn (-Wmismatched-new-delete).
__attribute__((noinline)) void* operator new(size_t size) {
  ++allocations;
  if (void* pointer = std::malloc(size)) return pointer;
  throw std::bad_alloc();
}
__attribute__((noinline)) void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
__attribute__((noinline)) void operator delete(void* pointer) noexcept { std::free(pointer); }
__attribute__((noinline)) void operator delete(void* pointer, size_t) noexcept {
  std::free(pointer);
}

namespace {

constexpr int kLevels = 3;

aio::LayerWeights random_weights(std::mt19937* generator, int out, int in, int kernel,
                                 int height = 16) {
  std::normal_distribution<float> normal(0.0f, 0.1f);
  std::uniform_real_distribution<float> uniform;
  aio::LayerWeights weights;
  weights.layout.height = height;
  weights.out_channels = out;
  weights.in_channels = in;
  weights.kernel_h = weights.kernel_w = kernel;
  std::vector<float> weight(static_cast<size_t>(out * in * kernel * kernel));
  for (float& w : weight) w = normal(*generator);
  std::vector<float> score(static_cast<size_t>((out + height - 1) / height * in * kernel * kernel));
  for (float& s : score) s = uniform(*generator);
  weights.weight = std::move(weight);
  weights.score = std::move(score);
  weights.threshold = {-1.0f, 0.5f, 0.9f};
  return weights;
}

std::unique_ptr<aio::Executor> make_network(int threads) {
  std::mt19937 generator(7);
  aio::Graph graph(kLevels);
  aio::Window2d window;
  window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = 1;
  int x = 0, a = 0, b = 0, sum = 0, flat = 0, y = 0;
  aio::LayerWeights depthwise = random_weights(&generator, 48, 1, 3);
  depthwise.groups = 48;
  AIO_CHECK(graph.add_input("x", 3, 24, 20, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("conv1", x, random_weights(&generator, 48, 3, 3), window, &a).is_ok());
  AIO_CHECK(
      graph.add_conv2d("conv2", a, random_weights(&generator, 48, 48, 3), window, &b).is_ok());
  AIO_CHECK(graph.add_add("sum", a, b, &sum).is_ok());
  AIO_CHECK(graph.add_conv2d("depthwise", sum, std::move(depthwise), window, &sum).is_ok());
  aio::Window2d pool;
  pool.kernel_h = 24;
  pool.kernel_w = 20;
  AIO_CHECK(graph.add_pool("pool", aio::Op::kAvgPool2d, sum, pool, true, &a).is_ok());
  AIO_CHECK(graph.add_flatten("flat", a, &flat).is_ok());
  AIO_CHECK(graph.add_linear("fc", flat, random_weights(&generator, 10, 48, 1), &y).is_ok());
  AIO_CHECK(graph.add_output(y).is_ok());
  std::unique_ptr<aio::Executor> executor;
  AIO_CHECK(aio::Executor::create(graph, threads, aio::list_isas(aio::detect_isa())[0], &executor)
                .is_ok());
  return executor;
}

std::vector<float> run(aio::Executor* executor, const std::vector<float>& x) {
  std::vector<float> y(10);
  const float* inputs[] = {x.data()};
  float* outputs[] = {y.data()};
  executor->run(inputs, 1, outputs);
  return y;
}

// Every layer the same cost, halved from level to level.
std::vector<double> halving_costs(const aio::Executor& executor) {
  std::vector<double> costs;
  for (int level = 0; level < kLevels; ++level) {
    costs.insert(costs.end(), executor.layers().size(), 1e6 / (1 << level));
  }
  return costs;
}

void test_run_allocates_nothing() {
  const auto executor = make_network(2);
  AIO_CHECK(executor->set_pace(halving_costs(*executor), {0, 1, 2}).is_ok());
  const std::vector<float> x(3 * 24 * 20, 0.5f);
  std::vector<float> y(10);
  const float* inputs[] = {x.data()};
  float* outputs[] = {y.data()};
  executor->run(inputs, 1, outputs);
  const int64_t before = allocations;
  for (int i = 0; i < 100; ++i) {
    (void)executor->set_level(i % kLevels);
    executor->run(inputs, 1, outputs);
    aio::PaceReport report;
    (void)executor->run_paced(inputs, 1, outputs, {1e3 * i}, &report);
  }
  AIO_CHECK(allocations == before);
}

// Two inputs, and every step that make_network() has not.
void test_the_other_steps_allocate_nothing() {
  aio::Graph graph(kLevels);
  int image = 0, flat = 0, value = 0, gate = 0, pair = 0;
  AIO_CHECK(graph.add_input("image", 20, 6, 5, &image).is_ok());
  AIO_CHECK(graph.add_flat_input("flat", 7, &flat).is_ok());
  AIO_CHECK(graph.add_affine("affine", image, {}, {}, &value).is_ok());
  AIO_CHECK(
      graph.add_adaptive_pool("gate", aio::Op::kAdaptiveMaxPool2d, value, 1, 1, &gate).is_ok());
  AIO_CHECK(graph.add_mul("mul", value, gate, &value).is_ok());
  AIO_CHECK(graph.add_concat("concat", {value, image}, &pair).is_ok());
  AIO_CHECK(
      graph.add_upsample("up", pair, 9, 9, aio::UpsampleMode::kBilinear, false, &pair).is_ok());
  AIO_CHECK(
      graph.add_layer_norm("norm", pair, 1e-5f, aio::NormOver::kChannels, {}, {}, &pair).is_ok());
  AIO_CHECK(graph.add_flatten("features", pair, &pair).is_ok());
  AIO_CHECK(graph.add_concat("all", {flat, pair}, &value).is_ok());
  AIO_CHECK(graph.add_softmax("softmax", value, &value).is_ok());
  AIO_CHECK(graph.add_output(value).is_ok());
  std::unique_ptr<aio::Executor> executor;
  AIO_CHECK(
      aio::Executor::create(graph, 2, aio::list_isas(aio::detect_isa())[0], &executor).is_ok());
  const std::vector<float> x(20 * 6 * 5, 0.5f), features(7, 1.0f);
  std::vector<float> y(7 + 40 * 9 * 9, 0.0f);
  const float* inputs[] = {x.data(), features.data()};
  float* outputs[] = {y.data()};
  executor->run(inputs, 1, outputs);
  const int64_t before = allocations;
  executor->run(inputs, 1, outputs);
  AIO_CHECK(allocations == before);
  double sum = 0.0;
  for (const float p : y) sum += double{p};
  AIO_CHECK(sum > 0.9999 && sum < 1.0001);
}

void test_levels_change_while_running() {
  const auto executor = make_network(2);
  const std::vector<float> x(3 * 24 * 20, 0.5f);
  std::vector<std::vector<float>> expected;
  for (int level = 0; level < kLevels; ++level) {
    AIO_CHECK(executor->set_level(level).is_ok());
    expected.push_back(run(executor.get(), x));
  }
  AIO_CHECK(expected[0] != expected[1] && expected[1] != expected[2]);
  std::atomic<bool> stop{false};
  std::thread switcher([&] {
    for (int i = 0; !stop; ++i) (void)executor->set_level(i % kLevels);
  });
  bool ok = true;
  for (int i = 0; i < 300; ++i) {
    const std::vector<float> y = run(executor.get(), x);
    ok = ok && (y == expected[0] || y == expected[1] || y == expected[2]);
  }
  stop = true;
  switcher.join();
  AIO_CHECK(ok);
}

// Every way to change the levels, from a thread each, while two threads run and one reads timings.
// The thread sanitizer watches; and each answer must be that of one request, never of a mixture.
void test_everything_changes_while_running() {
  const auto executor = make_network(3);
  const std::vector<float> x(3 * 24 * 20, 0.5f);
  std::vector<std::vector<int>> requests;
  for (int level = 0; level < kLevels; ++level) {
    requests.emplace_back(executor->layers().size(), level);
    requests.emplace_back(executor->layers().size(), level);
    requests.back().front() = (level + 1) % kLevels;
  }
  std::vector<std::vector<float>> expected;
  for (const auto& levels : requests) {
    AIO_CHECK(executor->set_layer_levels(levels).is_ok());
    expected.push_back(run(executor.get(), x));
  }
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> changers;
  const auto repeat = [&](auto change) {
    changers.emplace_back([&stop, change] {
      for (size_t i = 0; !stop; ++i) {
        change(i);
        std::this_thread::yield();
      }
    });
  };
  repeat([&](size_t i) { wrong += !executor->set_level(static_cast<int>(i) % kLevels).is_ok(); });
  repeat([&](size_t i) {
    wrong += !executor->set_layer_levels(requests[i % requests.size()]).is_ok();
  });
  repeat([&](size_t i) { executor->set_profiling(i % 2 == 0); });
  repeat([&](size_t) { wrong += executor->layer_ns().size() != requests[0].size(); });
  std::vector<std::thread> runners;
  runners.reserve(2);
  for (int thread = 0; thread < 2; ++thread) {
    runners.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const std::vector<float> y = run(executor.get(), x);
        wrong += std::find(expected.begin(), expected.end(), y) == expected.end();
      }
    });
  }
  for (std::thread& runner : runners) runner.join();
  stop = true;
  for (std::thread& changer : changers) changer.join();
  AIO_CHECK(wrong == 0);
}

void test_threads_do_not_change_the_result() {
  const auto one = make_network(1);
  const auto four = make_network(4);
  const std::vector<float> x(3 * 24 * 20, 0.25f);
  AIO_CHECK(run(one.get(), x) == run(four.get(), x));
}

// A paced run answers what its levels answer, kept or changed on the way.
void test_paced_runs_answer_as_their_levels() {
  const auto executor = make_network(2);
  const std::vector<float> x(3 * 24 * 20, 0.5f);
  std::vector<float> y(10);
  const float* inputs[] = {x.data()};
  float* outputs[] = {y.data()};
  aio::PaceReport report;
  AIO_CHECK(executor->run_paced(inputs, 1, outputs, {1e6}, &report).message() ==
            "a paced run needs set_pace first");
  AIO_CHECK(executor->set_pace({1.0}, {0}).message() ==
            "got 1 costs, expected 15: one per level and layer");
  AIO_CHECK(executor->set_pace(halving_costs(*executor), {0, 1, 2}).is_ok());
  for (const double budget_ns : {0.0, 2.2e6, 1e12}) {
    AIO_CHECK(executor->set_level(1).is_ok());
    AIO_CHECK(executor->run_paced(inputs, 1, outputs, {budget_ns}, &report).is_ok());
    const std::vector<float> paced(y.begin(), y.end());
    AIO_CHECK(report.elapsed_ns > 0.0 && report.expected_ns > 0.0);
    // The first layer runs before any time can be held against the plan.
    AIO_CHECK(executor->paced_levels().front() == 1);
    AIO_CHECK(executor->set_layer_levels(executor->paced_levels()).is_ok());
    AIO_CHECK(run(executor.get(), x) == paced);
  }
  AIO_CHECK(report.replans > 0 && executor->paced_levels().back() == 0);
  AIO_CHECK(executor->set_level(1).is_ok());
  AIO_CHECK(executor->run_paced(inputs, 1, outputs, {0.0, 1.0, false}, &report).is_ok());
  AIO_CHECK(report.replans == 0 && executor->paced_levels().back() == 1);
}

// The channels that a part makes are those of its level, whatever levels the other parts run at.
void test_parts_of_a_layer_run_at_levels_of_their_own() {
  constexpr int kChannels = 20 * 16 + 5;
  std::mt19937 generator(11);
  aio::Graph graph(kLevels);
  int x = 0, y = 0;
  AIO_CHECK(graph.add_input("x", 32, 5, 4, &x).is_ok());
  AIO_CHECK(
      graph.add_conv2d("conv", x, random_weights(&generator, kChannels, 32, 1), aio::Window2d(), &y)
          .is_ok());
  AIO_CHECK(graph.add_output(y).is_ok());
  for (const int threads : {1, 3}) {
    std::unique_ptr<aio::Executor> executor;
    AIO_CHECK(aio::Executor::create(graph, threads, aio::list_isas(aio::detect_isa())[0], &executor)
                  .is_ok());
    AIO_CHECK(executor->layers()[0].parts == 2);
    AIO_CHECK(executor->set_pace({1e9, 1e6, 1e3}, {0, 1, 2}).is_ok());
    const std::vector<float> in(32 * 5 * 4, 0.5f);
    std::vector<std::vector<float>> by_level;
    std::vector<float> out(kChannels * 5 * 4);
    const float* inputs[] = {in.data()};
    float* outputs[] = {out.data()};
    for (int level = 0; level < kLevels; ++level) {
      AIO_CHECK(executor->set_level(level).is_ok());
      executor->run(inputs, 1, outputs);
      by_level.push_back(out);
    }
    AIO_CHECK(executor->set_level(0).is_ok());
    aio::PaceReport report;
    // The first part takes far less than the second it is said to, so that the pace has a look; no
    // budget is left all the same.
    AIO_CHECK(executor->run_paced(inputs, 1, outputs, {1.0}, &report).is_ok());
    const std::vector<int> levels = executor->paced_levels();
    AIO_CHECK(levels == std::vector<int>({0, 2}));
    const auto half = static_cast<ptrdiff_t>(10 * 16 * 5 * 4);
    AIO_CHECK(std::equal(out.begin(), out.begin() + half, by_level[0].begin()));
    AIO_CHECK(std::equal(out.begin() + half, out.end(), by_level[2].begin() + half));
  }
}

// Against sums in double precision, on every instruction set.
void check_convolution(int in_channels, int kernel, int height, int width, int block_height = 16) {
  constexpr int kOut = 40;
  std::mt19937 generator(13);
  const aio::LayerWeights weights =
      random_weights(&generator, kOut, in_channels, kernel, block_height);
  const int elements = in_channels * kernel * kernel;
  const int out_height = height - kernel + 1;
  const int out_width = width - kernel + 1;
  aio::Window2d window;
  window.kernel_h = window.kernel_w = kernel;
  aio::Graph graph(kLevels);
  int x = 0, y = 0;
  AIO_CHECK(graph.add_input("x", in_channels, height, width, &x).is_ok());
  AIO_CHECK(graph.add_conv2d("conv", x, weights, window, &y).is_ok());
  AIO_CHECK(graph.add_output(y).is_ok());
  std::vector<float> in(static_cast<size_t>(in_channels * height * width));
  std::normal_distribution<float> normal;
  for (float& value : in) value = normal(generator);
  std::vector<std::unique_ptr<aio::Executor>> executors;
  for (const aio::Isa isa : aio::list_isas(aio::detect_isa())) {
    executors.emplace_back();
    AIO_CHECK(aio::Executor::create(graph, 2, isa, &executors.back()).is_ok());
  }
  const auto expect = [&](int level, int n, int row, int col) {
    double sum = 0.0;
    for (int e = 0; e < elements; ++e) {
      const int channel = e / (kernel * kernel);
      const int tap_row = e / kernel % kernel, tap_col = e % kernel;
      if (weights.score.data()[n / block_height * elements + e] <= weights.threshold.data()[level])
        continue;
      sum += double{weights.weight.data()[n * elements + e]} *
             in[static_cast<size_t>((channel * height + row + tap_row) * width + col + tap_col)];
    }
    return sum;
  };
  for (int level = 0; level < kLevels; ++level) {
    std::vector<std::vector<float>> answers;
    for (const auto& executor : executors) {
      AIO_CHECK(executor->set_level(level).is_ok());
      answers.emplace_back(static_cast<size_t>(kOut * out_height * out_width));
      const float* inputs[] = {in.data()};
      float* outputs[] = {answers.back().data()};
      executor->run(inputs, 1, outputs);
    }
    double largest = 0.0;
    for (size_t i = 0; i < answers[0].size(); i += 7) {
      const int at = static_cast<int>(i);
      const double expected =
          expect(level, at / (out_height * out_width), at / out_width % out_height, at % out_width);
      for (const auto& answer : answers) {
        largest = std::max(largest, std::fabs(expected - double{answer[i]}));
      }
    }
    AIO_CHECK(largest < 1e-4);  // sums of some 1000 products of about 0.1
  }
}

// Sparse levels of 1x1 kernels with many channels are made in passes, here three of up to 512.
void test_many_channels_are_summed_in_passes() {
  check_convolution(1100, 1, 5, 7);
  check_convolution(1100, 1, 5, 7, 8);
}

// Two rows of so wide an image are more than two bytes can count.
void test_far_taps() { check_convolution(64, 3, 4, 520); }

void test_bad_levels_are_refused() {
  const auto executor = make_network(1);
  AIO_CHECK(executor->set_level(kLevels).message() ==
            "level 3 does not exist; the model has levels 0 to 2");
  AIO_CHECK(!executor->set_level(-1).is_ok());
  AIO_CHECK(!executor->set_layer_levels({0, 1}).is_ok());
  AIO_CHECK(executor->set_layer_levels(std::vector<int>(executor->layers().size(), 2)).is_ok());
}

}  // namespace

int main() {
  test_run_allocates_nothing();
  test_the_other_steps_allocate_nothing();
  test_levels_change_while_running();
  test_everything_changes_while_running();
  test_threads_do_not_change_the_result();
  test_paced_runs_answer_as_their_levels();
  test_parts_of_a_layer_run_at_levels_of_their_own();
  test_many_channels_are_summed_in_passes();
  test_far_taps();
  test_bad_levels_are_refused();
  return aio::finish_checks();
}
