// SPDX-License-Identifier: Apache-2.0
//
// A whole network, with a step of every kind, in each block height on every instruction set of this
// machine, at every level. With random weights the vector ISAs must agree to the bit. With small
// integers every sum is exact, so scalar must agree too. The results are printed without the ISAs'
// names: the lines of two machines of different architecture must be the same text
// (scripts/native-test --arm compares them).
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/executor/executor.h"

namespace {

using aio::Activation;
using aio::Isa;

constexpr int kLevels = 4;
constexpr int kChannels = 20;  // one block of channels and a part of one
constexpr int kWide = 32;
constexpr int kClasses = 10;
constexpr int kInChannels = 3, kHeight = 18, kWidth = 15;
constexpr int kBatch = 2;
constexpr size_t kOutputs = size_t{kBatch} * kClasses;

// Knuth's MMIX generator: unlike <random>'s distributions, the same numbers everywhere.
class Lcg {
 public:
  // Uniform in [0, 1).
  float uniform() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return std::ldexp(static_cast<float>(state_ >> 40), -24);
  }
  // Uniform among the integers [-limit, limit].
  float integer(int limit) {
    return std::floor(uniform() * static_cast<float>(2 * limit + 1)) - static_cast<float>(limit);
  }

 private:
  uint64_t state_ = 2212;
};

enum class Weights { kRandom, kExact };

// The exact network: inputs are integers, weights -1, 0 or 1, the scales of convolutions without
// groups 1/4, of the others and of the gate 1, and relu6 follows each. So behind l convolutions of
// the former kind a value is a multiple of 2^-2l of at most 6, also when the gate, an integer, has
// multiplied it. The largest sum, over 256 inputs of the last layer in units of 2^-12 (five
// convolutions and an average of 4 different values), stays below 256 * 6 * 2^12 < 2^24: floats
// hold it whatever the order of summation. Winograd's transforms would round, so the exact
// network's 3x3 taps are dilated, to which it does not apply; the random network uses it, and has
// the steps that round.
class Builder {
 public:
  // The depthwise layer has blocks of 16 whatever the others' height.
  Builder(Weights kind, int height)
      : exact_(kind == Weights::kExact), height_(height), graph_(kLevels) {}

  aio::Graph build() {
    const aio::Window2d near = same(3, exact_ ? 2 : 1);
    int x = 0;
    AIO_CHECK(graph_.add_input("x", kInChannels, kHeight, kWidth, &x).is_ok());
    const int stem = conv("stem", x, kInChannels, kChannels, near, Activation::kRelu6);
    int value = conv("conv1", stem, kChannels, kChannels, near, Activation::kRelu);
    value = clamp("clamp1", value);
    value = conv("conv2", value, kChannels, kChannels, near, Activation::kNone);
    AIO_CHECK(graph_.add_add("sum", value, stem, &value).is_ok());
    value = clamp("clamp2", value);
    value = pool("max", aio::Op::kMaxPool2d, value, 3, 2, 1);
    value = conv("depthwise", value, 1, kChannels, same(3, 1), Activation::kRelu6, kChannels);
    value = conv("grouped", value, 5, kChannels, same(3, 1), Activation::kRelu6, 4);
    value = conv("expand", value, kChannels, kWide, same(1, 1),
                 exact_ ? Activation::kRelu6 : Activation::kHardswish);
    value = conv("dilated", value, kWide, kWide, same(3, 2), Activation::kRelu6);
    value = adaptive("shrink", aio::Op::kAdaptiveMaxPool2d, value, 4);
    value = gated(x, value);
    value = resized(value);
    value = adaptive("average", aio::Op::kAdaptiveAvgPool2d, value, 2);
    AIO_CHECK(graph_.add_flatten("flat", value, &value).is_ok());
    AIO_CHECK(
        graph_.add_linear("head", value, weights(2 * kWide * 4, kClasses, 1), &value).is_ok());
    if (!exact_) AIO_CHECK(graph_.add_softmax("softmax", value, &value).is_ok());
    AIO_CHECK(graph_.add_output(value).is_ok());
    return std::move(graph_);
  }

  std::vector<float> input() {
    std::vector<float> x(size_t{kBatch} * kInChannels * kHeight * kWidth);
    for (float& value : x) value = exact_ ? lcg_.integer(6) : 2.0f * lcg_.uniform() - 1.0f;
    return x;
  }

 private:
  static aio::Window2d same(int kernel, int dilation) {
    aio::Window2d window;
    window.dilation_h = window.dilation_w = dilation;
    window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = kernel / 2 * dilation;
    return window;
  }

  aio::LayerWeights weights(int in, int out, int kernel, int groups = 1) {
    aio::LayerWeights weights;
    weights.groups = groups;
    weights.in_channels = in;
    weights.out_channels = out;
    weights.kernel_h = weights.kernel_w = kernel;
    weights.layout.height = weights.is_depthwise() ? 16 : height_;
    const int elements = in * kernel * kernel;
    const float size = std::sqrt(6.0f / static_cast<float>(elements));
    std::vector<float> weight, score, scale, bias;
    for (int i = 0; i < out * elements; ++i) {
      weight.push_back(exact_ ? lcg_.integer(1) : size * (2.0f * lcg_.uniform() - 1.0f));
    }
    const int blocks = aio::blocks_of(out, weights.layout);
    for (int i = 0; i < blocks * elements; ++i) score.push_back(lcg_.uniform());
    weights.threshold = {-INFINITY, 0.4f, 0.7f, 0.9f};
    for (int i = 0; i < kLevels * out; ++i) {
      const bool one = out == kClasses || groups > 1 || elements == kInChannels;
      scale.push_back(exact_ ? (one ? 1.0f : 0.25f) : 0.5f + lcg_.uniform());
      bias.push_back(exact_ ? lcg_.integer(2) : lcg_.uniform() - 0.5f);
    }
    weights.weight = std::move(weight);
    weights.score = std::move(score);
    weights.scale = std::move(scale);
    weights.bias = std::move(bias);
    return weights;
  }

  int conv(const std::string& name, int input, int in, int out, const aio::Window2d& window,
           Activation activation, int groups = 1) {
    const int kernel = window.pad_top == 0 ? 1 : 3;
    int value = 0;
    aio::LayerWeights layer = weights(in, out, kernel, groups);
    AIO_CHECK(graph_.add_conv2d(name, input, std::move(layer), window, &value).is_ok());
    if (activation == Activation::kNone) return value;
    AIO_CHECK(graph_.add_activation(name + "_act", value, activation, &value).is_ok());
    return value;
  }

  // Squeeze-and-excitation by the network's input; and the result once more, scaled and shifted, as
  // further channels.
  int gated(int x, int value) {
    int gate = adaptive("squeeze", aio::Op::kAdaptiveMaxPool2d, x, 1);
    gate = conv("gate", gate, kInChannels, kWide, same(1, 1),
                exact_ ? Activation::kRelu6 : Activation::kSigmoid);
    AIO_CHECK(graph_.add_mul("excite", value, gate, &value).is_ok());
    value = clamp("clamp3", value);
    std::vector<float> scale, bias;
    for (int i = 0; i < kLevels * kWide; ++i) {
      scale.push_back(exact_ ? lcg_.integer(1) : lcg_.uniform());
      bias.push_back(exact_ ? lcg_.integer(2) : lcg_.uniform());
    }
    int shifted = 0, joined = 0;
    AIO_CHECK(
        graph_.add_affine("affine", value, std::move(scale), std::move(bias), &shifted).is_ok());
    shifted = clamp("clamp4", shifted);
    AIO_CHECK(graph_.add_concat("concat", {value, shifted}, &joined).is_ok());
    return joined;
  }

  int resized(int value) {
    if (exact_) {
      const auto mode = aio::UpsampleMode::kNearest;
      AIO_CHECK(graph_.add_upsample("up", value, 8, 8, mode, false, &value).is_ok());
      return value;
    }
    const auto mode = aio::UpsampleMode::kBilinear;
    AIO_CHECK(graph_.add_upsample("up", value, 7, 9, mode, false, &value).is_ok());
    AIO_CHECK(
        graph_.add_layer_norm("pixels", value, 1e-5f, aio::NormOver::kChannels, {}, {}, &value)
            .is_ok());
    AIO_CHECK(graph_.add_layer_norm("sample", value, 1e-5f, aio::NormOver::kSample, {}, {}, &value)
                  .is_ok());
    return value;
  }

  int adaptive(const std::string& name, aio::Op op, int input, int size) {
    int value = 0;
    AIO_CHECK(graph_.add_adaptive_pool(name, op, input, size, size, &value).is_ok());
    return value;
  }

  int clamp(const std::string& name, int input) {
    int value = 0;
    AIO_CHECK(graph_.add_activation(name, input, Activation::kRelu6, &value).is_ok());
    return value;
  }

  int pool(const std::string& name, aio::Op op, int input, int kernel, int stride, int pad) {
    aio::Window2d window;
    window.kernel_h = window.kernel_w = kernel;
    window.stride_h = window.stride_w = stride;
    window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = pad;
    int value = 0;
    AIO_CHECK(graph_.add_pool(name, op, input, window, true, &value).is_ok());
    return value;
  }

  bool exact_;
  int height_;
  aio::Graph graph_;
  Lcg lcg_;
};

// By level; the last entry is a run whose layers take the levels in turn.
using Results = std::vector<std::vector<float>>;

Results run_all_levels(Weights kind, int height, Isa isa, int threads) {
  Builder builder(kind, height);
  const aio::Graph graph = builder.build();
  const std::vector<float> x = builder.input();
  std::unique_ptr<aio::Executor> executor;
  AIO_CHECK(aio::Executor::create(graph, threads, isa, &executor).is_ok());
  Results results(kLevels + 1, std::vector<float>(kOutputs, NAN));
  std::vector<int> mixed(executor->layers().size());
  for (size_t i = 0; i < mixed.size(); ++i) mixed[i] = static_cast<int>(i) % kLevels;
  for (int level = 0; level <= kLevels; ++level) {
    AIO_CHECK(
        (level < kLevels ? executor->set_level(level) : executor->set_layer_levels(mixed)).is_ok());
    const float* inputs[] = {x.data()};
    float* outputs[] = {results[static_cast<size_t>(level)].data()};
    executor->run(inputs, kBatch, outputs);
  }
  return results;
}

// Unlike the floats, their bits tell -0 from 0 and find NaN equal to itself.
std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * sizeof(float));
  return bits;
}

bool same_bits(const Results& a, const Results& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return bits(x) == bits(y); });
}

void print(const char* title, int height, const Results& results) {
  for (size_t level = 0; level < results.size(); ++level) {
    uint64_t hash = 14695981039346656037u;  // FNV-1a over the bits
    for (const uint32_t word : bits(results[level])) hash = (hash ^ word) * 1099511628211u;
    std::printf("%s x%d %s %zu %016" PRIx64, title, height, level < kLevels ? "level" : "mixed",
                level, hash);
    for (int i = 0; i < kClasses; ++i) {
      std::printf(" %.9g", static_cast<double>(results[level][static_cast<size_t>(i)]));
    }
    std::printf("\n");
  }
}

// A network whose levels give the same, or nothing, would prove nothing.
void check_levels_differ(const Results& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    for (const float y : results[i]) AIO_CHECK(std::isfinite(y));
    for (size_t j = 0; j < i; ++j) AIO_CHECK(results[i] != results[j]);
  }
}

void test_blocks_of(int height) {
  const Results exact = run_all_levels(Weights::kExact, height, Isa::kScalar, 1);
  check_levels_differ(exact);
  print("exact", height, exact);
  std::map<bool, Results> random;  // by whether the ISA is a vector one
  for (const Isa isa : aio::list_isas(aio::detect_isa())) {
    for (const int threads : {1, 3}) {
      AIO_CHECK(same_bits(run_all_levels(Weights::kExact, height, isa, threads), exact));
      const Results results = run_all_levels(Weights::kRandom, height, isa, threads);
      const auto [first, inserted] = random.emplace(isa != Isa::kScalar, results);
      AIO_CHECK(inserted || same_bits(results, first->second));
    }
  }
  for (const auto& [vector, results] : random) {
    check_levels_differ(results);
    print(vector ? "random vector" : "random scalar", height, results);
  }
}

}  // namespace

int main() {
  test_blocks_of(16);
  test_blocks_of(8);
  return aio::finish_checks();
}
