// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/pack.h"

#include <algorithm>
#include <numeric>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {

// Output channels of a block, or of the part of it that lies in one group.
struct Channels {
  int begin;
  int end;
};

struct Element {
  int chunk;
  int survives;  // levels that keep it: the first `survives` ones, as masks are nested
  int index;     // among the elements of all groups
};

int count_levels(const WeightView& view, int block, int element) {
  if (view.score == nullptr) return view.levels;
  const float score = view.score[int64_t{block} * view.elements + element];
  return static_cast<int>(std::lower_bound(view.threshold, view.threshold + view.levels, score) -
                          view.threshold);
}

int count_chunks(const WeightView& view) {
  return view.chunk == 0 ? 1 : (view.elements + view.chunk - 1) / view.chunk;
}

int count_blocks(const WeightView& view) {
  return (view.out_channels + kBlockHeight - 1) / kBlockHeight;
}

Channels channels_of(const WeightView& view, int block) {
  return {block * kBlockHeight, std::min((block + 1) * kBlockHeight, view.out_channels)};
}

// The block's channels that read the group.
Channels channels_of(const WeightView& view, int block, int group) {
  const int size = view.out_channels / view.groups;
  const Channels all = channels_of(view, block);
  return {std::max(all.begin, group * size), std::min(all.end, (group + 1) * size)};
}

// The block's surviving elements in packed order.
void order_block(const WeightView& view, int block, std::vector<Element>* kept) {
  kept->clear();
  const int size = view.out_channels / view.groups;
  const Channels channels = channels_of(view, block);
  for (int group = channels.begin / size; group * size < channels.end; ++group) {
    for (int e = 0; e < view.elements; ++e) {
      const int survives = count_levels(view, block, e);
      const int chunk = view.chunk == 0 ? 0 : e / view.chunk;
      if (survives > 0) kept->push_back({chunk, survives, group * view.elements + e});
    }
  }
  std::sort(kept->begin(), kept->end(), [](const Element& a, const Element& b) {
    if (a.chunk != b.chunk) return a.chunk < b.chunk;
    return a.survives != b.survives ? a.survives > b.survives : a.index < b.index;
  });
}

// Appends the kept elements of a block.
void pack_block(const WeightView& view, int block, const std::vector<Element>& kept,
                const std::vector<int32_t>& element_offsets, PackedWeights* packed) {
  const size_t begin = packed->offsets.size();
  packed->begins.push_back(static_cast<int64_t>(begin));
  const auto span = [&](int level, int chunk) -> PackedSpan& {
    return packed->prefix[static_cast<size_t>(packed->spans(level, block) - packed->spans(0, 0)) +
                          static_cast<size_t>(chunk)];
  };
  int last_chunk = -1;
  for (const Element& element : kept) {
    if (element.chunk != last_chunk) {
      last_chunk = element.chunk;
      for (int level = 0; level < packed->levels; ++level) {
        span(level, last_chunk).begin = static_cast<int32_t>(packed->offsets.size() - begin);
      }
    }
    const Channels channels = channels_of(view, block, element.index / view.elements);
    const int column = element.index % view.elements;
    float* values = packed->values.data() + packed->offsets.size() * kBlockHeight;
    for (int c = channels.begin; c < channels.end; ++c) {
      values[c % kBlockHeight] = view.weight[int64_t{c} * view.elements + column];
    }
    packed->offsets.push_back(element_offsets[static_cast<size_t>(element.index)]);
    for (int level = 0; level < element.survives; ++level) {
      ++span(level, element.chunk).nnz;
      packed->weights[static_cast<size_t>(level)] += channels.end - channels.begin;
    }
  }
}

}  // namespace

int32_t PackedWeights::nnz(int level, int block) const {
  const PackedSpan* const first = spans(level, block);
  return std::accumulate(first, first + chunks, 0,
                         [](int32_t sum, const PackedSpan& span) { return sum + span.nnz; });
}

size_t PackedWeights::bytes() const {
  return values.bytes() + offsets.size() * sizeof(int32_t) + begins.size() * sizeof(int64_t) +
         prefix.size() * sizeof(PackedSpan);
}

std::vector<uint16_t> kept_places(const WeightView& view) {
  const int blocks = count_blocks(view);
  const size_t elements = static_cast<size_t>(view.elements);
  std::vector<uint16_t> places(static_cast<size_t>(blocks) * elements, kNotKept);
  std::vector<Element> kept;
  for (int b = 0; b < blocks; ++b) {
    order_block(view, b, &kept);
    size_t begin = 0;
    for (size_t i = 0; i < kept.size(); ++i) {
      if (kept[i].chunk != kept[begin].chunk) begin = i;
      places[static_cast<size_t>(b) * elements + static_cast<size_t>(kept[i].index)] =
          static_cast<uint16_t>(i - begin);
    }
  }
  return places;
}

PackedWeights pack_nested(const WeightView& view, const std::vector<int32_t>& element_offsets) {
  PackedWeights packed;
  packed.levels = view.levels;
  packed.blocks = count_blocks(view);
  packed.chunks = count_chunks(view);
  packed.prefix.assign(static_cast<size_t>(packed.levels) * static_cast<size_t>(packed.blocks) *
                           static_cast<size_t>(packed.chunks),
                       PackedSpan{0, 0});
  packed.weights.assign(static_cast<size_t>(packed.levels), 0);

  std::vector<Element> kept;
  size_t total = 0;
  for (int b = 0; b < packed.blocks; ++b) {
    order_block(view, b, &kept);
    total += kept.size();
  }
  packed.values = AlignedBuffer<float>(total * kBlockHeight);
  packed.offsets.reserve(total);
  for (int b = 0; b < packed.blocks; ++b) {
    order_block(view, b, &kept);
    pack_block(view, b, kept, element_offsets, &packed);
  }
  return packed;
}

}  // namespace aio
