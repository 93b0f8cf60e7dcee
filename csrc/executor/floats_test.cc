// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/floats.h"

#include <memory>
#include <utility>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/base/isa.h"
#include "csrc/executor/executor.h"
#include "csrc/executor/graph.h"

namespace {

using Values = std::shared_ptr<std::vector<float>>;

aio::Floats view(const Values& values) { return {values, values->data(), values->size()}; }

void test_a_vector_is_its_own_owner() {
  std::vector<float> values = {1, 2, 3};
  const float* data = values.data();
  const aio::Floats floats = std::move(values);
  aio::Floats copy;
  copy = floats;
  AIO_CHECK(copy.data() == data && copy.size() == 3);  // where they were, not copied
  AIO_CHECK(std::vector<float>(copy.begin(), copy.end()) == std::vector<float>({1, 2, 3}));
  AIO_CHECK(aio::Floats().empty() && aio::Floats(std::vector<float>()).empty());
}

void test_the_owner_lives_as_long_as_a_view() {
  Values values = std::make_shared<std::vector<float>>(4, 0.5f);
  const std::weak_ptr<std::vector<float>> owner = values;
  aio::Floats first = view(values);
  values.reset();
  aio::Floats second = first;
  first = {};
  AIO_CHECK(!owner.expired() && second.data()[3] == 0.5f);
  second = {};
  AIO_CHECK(owner.expired());
}

aio::LayerWeights convolution(const Values& values) {
  aio::LayerWeights weights;
  weights.out_channels = weights.in_channels = 16;
  weights.weight = view(values);
  return weights;
}

// Two 1x1 convolutions of the same weights.
aio::Graph two_layers(const Values& values) {
  aio::Graph graph(1);
  int x = 0;
  AIO_CHECK(graph.add_input("x", 16, 3, 3, &x).is_ok());
  for (const char* name : {"a", "b"}) {
    AIO_CHECK(graph.add_conv2d(name, x, convolution(values), aio::Window2d(), &x).is_ok());
  }
  AIO_CHECK(graph.add_output(x).is_ok());
  return graph;
}

std::unique_ptr<aio::Executor> make_executor(aio::Graph graph) {
  std::unique_ptr<aio::Executor> executor;
  AIO_CHECK(
      aio::Executor::create(std::move(graph), 1, aio::list_isas(aio::detect_isa())[0], &executor)
          .is_ok());
  return executor;
}

std::vector<float> run(aio::Executor* executor) {
  const std::vector<float> x(16 * 3 * 3, 1.0f);
  std::vector<float> y(x.size());
  float* outputs[] = {y.data()};
  const float* inputs[] = {x.data()};
  executor->run(inputs, 1, outputs);
  return y;
}

void test_an_executor_keeps_no_weights() {
  const Values values = std::make_shared<std::vector<float>>(16 * 16, 0.25f);
  aio::Graph graph = two_layers(values);
  AIO_CHECK(values.use_count() == 3);
  const auto kept = make_executor(graph);  // a copy: the graph has them still
  AIO_CHECK(values.use_count() == 3);
  const auto executor = make_executor(std::move(graph));
  AIO_CHECK(values.use_count() == 1);
  values->assign(values->size(), 99.0f);
  AIO_CHECK(run(executor.get()) == std::vector<float>(16 * 3 * 3, 16.0f));
  AIO_CHECK(run(kept.get()) == run(executor.get()));
}

}  // namespace

int main() {
  test_a_vector_is_its_own_owner();
  test_the_owner_lives_as_long_as_a_view();
  test_an_executor_keeps_no_weights();
  return aio::finish_checks();
}
