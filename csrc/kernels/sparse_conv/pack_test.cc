// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/pack.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "csrc/base/check.h"

namespace {

// Two blocks (the second of 3 channels), 4 elements, 3 levels.
struct Small {
  std::vector<float> weight;
  std::vector<float> score = {0.1f, 0.9f, 0.5f, 0.6f, 0.8f, 0.2f, 0.3f, 0.95f};
  std::vector<float> threshold = {-std::numeric_limits<float>::infinity(), 0.4f, 0.85f};
  std::vector<int32_t> offsets = {0, 10, 20, 30};

  Small() {
    for (int i = 0; i < 19 * 4; ++i) weight.push_back(static_cast<float>(i + 1));
  }
  aio::WeightView view() const { return {weight.data(), score.data(), threshold.data(), 3, 19, 4}; }
};

void test_levels_are_prefixes() {
  const Small small;
  const aio::PackedWeights packed = aio::pack_nested(small.view(), small.offsets);
  AIO_CHECK(packed.blocks == 2 && packed.levels == 3);
  AIO_CHECK(packed.offsets.size() == 8);
  const int expected[3][2] = {{4, 4}, {3, 2}, {1, 1}};
  for (int level = 0; level < 3; ++level) {
    for (int block = 0; block < 2; ++block) {
      AIO_CHECK(packed.nnz(level, block) == expected[level][block]);
    }
  }
  // The sparsest level's element first, then each denser band by element.
  const std::vector<int32_t> order = {10, 20, 30, 0, 30, 0, 10, 20};
  AIO_CHECK(packed.offsets.to_vector() == order);
}

void test_values_follow_their_offsets() {
  const Small small;
  const aio::PackedWeights packed = aio::pack_nested(small.view(), small.offsets);
  for (int block = 0; block < 2; ++block) {
    for (int64_t i = packed.begins[static_cast<size_t>(block)]; i < (block + 1) * 4; ++i) {
      const int element = packed.offsets[static_cast<size_t>(i)] / 10;
      for (int c = 0; c < 16; ++c) {
        const int channel = block * 16 + c;
        const float expected =
            channel < 19 ? small.weight[static_cast<size_t>(channel * 4 + element)] : 0;
        AIO_CHECK(packed.values[static_cast<size_t>(i * 16 + c)] == expected);
      }
    }
  }
}

// Two bytes each as long as all of them fit.
void test_width_of_offsets() {
  Small small;
  for (const int32_t largest : {0xFFFF, 0x10000, 0x7FFFFFFF}) {
    small.offsets[3] = largest;
    const aio::PackedWeights packed = aio::pack_nested(small.view(), small.offsets);
    AIO_CHECK(aio::bytes_of(packed.offsets.width()) == (largest == 0xFFFF ? 2 : 4));
    const std::vector<int32_t> order = {10, 20, largest, 0, largest, 0, 10, 20};
    AIO_CHECK(packed.offsets.to_vector() == order);
  }
}

void test_dropped_blocks_are_not_stored() {
  Small small;
  small.threshold = {0.4f, 0.85f, 2.0f};
  const aio::PackedWeights packed = aio::pack_nested(small.view(), small.offsets);
  AIO_CHECK(packed.offsets.size() == 5);
  AIO_CHECK(packed.nnz(2, 0) == 0 && packed.nnz(2, 1) == 0);
}

void test_equal_scores_and_thresholds_are_dropped() {
  Small small;
  small.threshold = {0.9f, 0.9f, 0.95f};
  const aio::PackedWeights packed = aio::pack_nested(small.view(), small.offsets);
  AIO_CHECK(packed.nnz(0, 0) == 0 && packed.nnz(0, 1) == 1);
  AIO_CHECK(packed.nnz(2, 1) == 0);
}

void test_dense_layer() {
  const Small small;
  aio::WeightView view = small.view();
  view.score = nullptr;
  const aio::PackedWeights packed = aio::pack_nested(view, small.offsets);
  for (int level = 0; level < 3; ++level) {
    AIO_CHECK(packed.nnz(level, 0) == 4 && packed.nnz(level, 1) == 4);
  }
}

// Chunks of two elements: each has its bands, and a prefix at each level.
void test_chunks() {
  const Small small;
  aio::WeightView view = small.view();
  view.chunk = 2;
  const aio::PackedWeights packed = aio::pack_nested(view, small.offsets);
  AIO_CHECK(packed.chunks == 2);
  const std::vector<int32_t> order = {10, 0, 20, 30, 0, 10, 30, 20};
  AIO_CHECK(packed.offsets.to_vector() == order);
  const int expected[3][2][2] = {{{2, 2}, {2, 2}}, {{1, 2}, {1, 1}}, {{1, 0}, {0, 1}}};
  for (int level = 0; level < 3; ++level) {
    for (int block = 0; block < 2; ++block) {
      int sum = 0;
      for (int chunk = 0; chunk < 2; ++chunk) {
        const aio::PackedSpan& span = packed.spans(level, block)[chunk];
        AIO_CHECK(span.begin == 2 * chunk);
        AIO_CHECK(span.nnz == expected[level][block][chunk]);
        sum += span.nnz;
      }
      AIO_CHECK(packed.nnz(level, block) == sum);
    }
  }
  const std::vector<uint16_t> places = aio::kept_places(view);
  AIO_CHECK((places == std::vector<uint16_t>{1, 0, 0, 1, 0, 1, 1, 0}));
}

// A last chunk of fewer elements, and one of which no level keeps anything.
void test_uneven_chunks() {
  Small small;
  small.score = {0.1f, 0.9f, 0.5f, 0.0f, 0.0f, 0.0f, 0.0f, 0.95f};
  small.threshold = {0.05f, 0.4f, 0.85f};
  aio::WeightView view = small.view();
  view.chunk = 3;
  const aio::PackedWeights packed = aio::pack_nested(view, small.offsets);
  AIO_CHECK(packed.offsets.size() == 4);
  AIO_CHECK(packed.spans(0, 0)[0].nnz == 3 && packed.spans(0, 0)[1].nnz == 0);
  AIO_CHECK(packed.spans(0, 1)[0].nnz == 0 && packed.spans(0, 1)[1].nnz == 1);
}

// Three groups of 6 output and 2 input channels: the first block spans all three, the second of 2
// channels only the last.
void test_groups() {
  std::vector<float> weight(18 * 2);
  std::iota(weight.begin(), weight.end(), 1.0f);
  const std::vector<float> score = {0.9f, 0.1f, 0.2f, 0.8f};
  const std::vector<float> threshold = {0.0f, 0.5f};
  const aio::WeightView view{weight.data(), score.data(), threshold.data(), 2, 18, 2, 3};
  const aio::PackedWeights packed = aio::pack_nested(view, {0, 1, 2, 3, 4, 5});
  AIO_CHECK(packed.nnz(0, 0) == 6 && packed.nnz(0, 1) == 2);
  AIO_CHECK(packed.nnz(1, 0) == 3 && packed.nnz(1, 1) == 1);
  // The sparse level keeps the first element of each group in the first block, the second in the
  // other.
  const std::vector<int32_t> order = {0, 2, 4, 1, 3, 5, 5, 4};
  AIO_CHECK(packed.offsets.to_vector() == order);
  AIO_CHECK(packed.weights[0] == 18 * 2 && packed.weights[1] == 16 + 2);
  for (size_t i = 0; i < order.size(); ++i) {
    const int group = order[i] / 2;
    for (int c = 0; c < 16; ++c) {
      const int channel = (i < 6 ? 0 : 16) + c;
      const float expected = channel < 18 && channel / 6 == group
                                 ? weight[static_cast<size_t>(channel * 2 + order[i] % 2)]
                                 : 0.0f;
      AIO_CHECK(packed.values[i * 16 + static_cast<size_t>(c)] == expected);
    }
  }
}

// Blocks of 8: three, the last of 3 channels, each with scores of its own.
void test_height() {
  Small small;
  small.score.insert(small.score.end(), {0.0f, 0.99f, 0.7f, 0.1f});
  aio::WeightView view = small.view();
  view.layout.height = 8;
  const aio::PackedWeights packed = aio::pack_nested(view, small.offsets);
  AIO_CHECK(packed.blocks == 3 && packed.layout == view.layout);
  const std::vector<int32_t> order = {10, 20, 30, 0, 30, 0, 10, 20, 10, 20, 0, 30};
  AIO_CHECK(packed.offsets.to_vector() == order);
  AIO_CHECK(packed.nnz(1, 0) == 3 && packed.nnz(1, 1) == 2 && packed.nnz(1, 2) == 2);
  AIO_CHECK(packed.weights[1] == 3 * 8 + 2 * 8 + 2 * 3);
  for (size_t i = 0; i < order.size(); ++i) {
    for (size_t c = 0; c < 8; ++c) {
      const size_t channel = i / 4 * 8 + c;
      const size_t element = static_cast<size_t>(order[i] / 10);
      const float expected = channel < 19 ? small.weight[channel * 4 + element] : 0.0f;
      AIO_CHECK(packed.values[i * 8 + c] == expected);
    }
  }
}

}  // namespace

int main() {
  test_height();
  test_levels_are_prefixes();
  test_values_follow_their_offsets();
  test_width_of_offsets();
  test_dropped_blocks_are_not_stored();
  test_equal_scores_and_thresholds_are_dropped();
  test_dense_layer();
  test_groups();
  test_chunks();
  test_uneven_chunks();
  return aio::finish_checks();
}
