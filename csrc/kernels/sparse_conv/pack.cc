// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/pack.h"

#include <algorithm>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {

struct Element {
  int survives;  // levels that keep it: the first `survives` ones, as masks are nested
  int32_t offset;
  int index;
};

int count_levels(const WeightView& view, int block, int element) {
  if (view.score == nullptr) return view.levels;
  const float score = view.score[int64_t{block} * view.elements + element];
  return static_cast<int>(std::lower_bound(view.threshold, view.threshold + view.levels, score) -
                          view.threshold);
}

// The block's surviving elements in packed order.
void order_block(const WeightView& view, int block, const std::vector<int32_t>& element_offsets,
                 std::vector<Element>* kept) {
  kept->clear();
  for (int e = 0; e < view.elements; ++e) {
    const int survives = count_levels(view, block, e);
    if (survives > 0) kept->push_back({survives, element_offsets[static_cast<size_t>(e)], e});
  }
  std::sort(kept->begin(), kept->end(), [](const Element& a, const Element& b) {
    return a.survives != b.survives ? a.survives > b.survives : a.index < b.index;
  });
}

}  // namespace

size_t PackedWeights::bytes() const {
  return values.bytes() + offsets.size() * sizeof(int32_t) + begins.size() * sizeof(int64_t) +
         prefixes.size() * sizeof(int32_t);
}

std::vector<uint16_t> kept_places(const WeightView& view) {
  const int blocks = (view.out_channels + kBlockHeight - 1) / kBlockHeight;
  const size_t elements = static_cast<size_t>(view.elements);
  std::vector<uint16_t> places(static_cast<size_t>(blocks) * elements, kNotKept);
  const std::vector<int32_t> no_offsets(elements, 0);
  std::vector<Element> kept;
  for (int b = 0; b < blocks; ++b) {
    order_block(view, b, no_offsets, &kept);
    for (size_t i = 0; i < kept.size(); ++i) {
      places[static_cast<size_t>(b) * elements + static_cast<size_t>(kept[i].index)] =
          static_cast<uint16_t>(i);
    }
  }
  return places;
}

PackedWeights pack_nested(const WeightView& view, const std::vector<int32_t>& element_offsets) {
  PackedWeights packed;
  packed.levels = view.levels;
  packed.blocks = (view.out_channels + kBlockHeight - 1) / kBlockHeight;
  packed.prefixes.assign(static_cast<size_t>(packed.levels) * static_cast<size_t>(packed.blocks),
                         0);

  std::vector<Element> kept;
  size_t total = 0;
  for (int b = 0; b < packed.blocks; ++b) {
    for (int e = 0; e < view.elements; ++e) total += count_levels(view, b, e) > 0 ? 1 : 0;
  }
  packed.values = AlignedBuffer<float>(total * kBlockHeight);
  packed.offsets.reserve(total);
  for (int b = 0; b < packed.blocks; ++b) {
    order_block(view, b, element_offsets, &kept);
    packed.begins.push_back(static_cast<int64_t>(packed.offsets.size()));
    const int channels = std::min(kBlockHeight, view.out_channels - b * kBlockHeight);
    for (const Element& element : kept) {
      float* values = packed.values.data() + packed.offsets.size() * kBlockHeight;
      for (int c = 0; c < channels; ++c) {
        values[c] = view.weight[int64_t{b * kBlockHeight + c} * view.elements + element.index];
      }
      packed.offsets.push_back(element.offset);
      for (int level = 0; level < element.survives; ++level) {
        ++packed.prefixes[static_cast<size_t>(level) * static_cast<size_t>(packed.blocks) +
                          static_cast<size_t>(b)];
      }
    }
  }
  return packed;
}

}  // namespace aio
