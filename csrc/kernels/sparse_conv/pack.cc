// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/pack.h"

#include <algorithm>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {

// Output channels of a block, or of the part of it that lies in one group.
struct Channels {
  int begin;
  int end;
};

struct Element {
  int survives;  // levels that keep it: the first `survives` ones, as masks are nested
  int index;     // among the elements of all groups
};

// How many levels keep each element, blocks x elements. Read once: the scores may be another's
// memory, and everything that follows must agree on what is kept.
std::vector<uint16_t> count_levels(const WeightView& view, int blocks) {
  const size_t size = static_cast<size_t>(blocks) * static_cast<size_t>(view.elements);
  std::vector<uint16_t> survives(size, static_cast<uint16_t>(view.levels));
  if (view.score == nullptr) return survives;
  for (size_t i = 0; i < size; ++i) {
    // Without a branch on the score, which nothing could predict.
    int levels = 0;
    for (int level = 0; level < view.levels; ++level)
      levels += view.score[i] > view.threshold[level];
    survives[i] = static_cast<uint16_t>(levels);
  }
  return survives;
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

// The groups that the block's channels read.
Channels groups_of(const WeightView& view, int block) {
  const int size = view.out_channels / view.groups;
  const Channels channels = channels_of(view, block);
  return {channels.begin / size, (channels.end - 1) / size + 1};
}

// The block's surviving elements in packed order: those of the most levels first, else as they are
// numbered. `survives` is the block's row of count_levels().
void order_block(const WeightView& view, int block, const uint16_t* survives,
                 std::vector<Element>* kept) {
  const Channels groups = groups_of(view, block);
  std::vector<size_t> places(static_cast<size_t>(view.levels) + 1, 0);  // by survives, the next one
  for (int e = 0; e < view.elements; ++e) ++places[survives[e]];
  size_t total = 0;
  for (int levels = view.levels; levels > 0; --levels) {
    const size_t count = places[static_cast<size_t>(levels)];
    places[static_cast<size_t>(levels)] = total;
    total += count * static_cast<size_t>(groups.end - groups.begin);
  }
  kept->resize(total);
  for (int group = groups.begin; group < groups.end; ++group) {
    for (int e = 0; e < view.elements; ++e) {
      if (survives[e] == 0) continue;
      (*kept)[places[survives[e]]++] = {survives[e], group * view.elements + e};
    }
  }
}

// Appends the kept elements of a block.
void pack_block(const WeightView& view, int block, const std::vector<Element>& kept,
                const std::vector<int32_t>& element_offsets, PackedWeights* packed) {
  packed->begins.push_back(static_cast<int64_t>(packed->offsets.size()));
  float* values = packed->values.data() + packed->offsets.size() * kBlockHeight;
  for (const Element& element : kept) {
    const Channels channels = channels_of(view, block, element.index / view.elements);
    const float* weight = view.weight + element.index % view.elements;
    for (int c = channels.begin; c < channels.end; ++c) {
      values[c % kBlockHeight] = weight[int64_t{c} * view.elements];
    }
    values += kBlockHeight;
    packed->offsets.push_back(element_offsets[static_cast<size_t>(element.index)]);
  }
}

// Counts what the block keeps at each level. `survives` as for order_block().
void count_kept(const WeightView& view, int block, const uint16_t* survives,
                PackedWeights* packed) {
  const Channels groups = groups_of(view, block);
  const Channels channels = channels_of(view, block);
  std::vector<int32_t> elements(static_cast<size_t>(view.levels) + 1, 0);  // by survives
  for (int e = 0; e < view.elements; ++e) ++elements[survives[e]];
  int32_t kept = 0;
  for (int level = view.levels - 1; level >= 0; --level) {
    kept += elements[static_cast<size_t>(level) + 1];
    packed->prefixes[static_cast<size_t>(level) * static_cast<size_t>(packed->blocks) +
                     static_cast<size_t>(block)] = kept * (groups.end - groups.begin);
    packed->weights[static_cast<size_t>(level)] += int64_t{kept} * (channels.end - channels.begin);
  }
}

}  // namespace

size_t PackedWeights::bytes() const {
  return values.bytes() + offsets.size() * sizeof(int32_t) + begins.size() * sizeof(int64_t) +
         prefixes.size() * sizeof(int32_t);
}

std::vector<uint16_t> kept_places(const WeightView& view) {
  const int blocks = count_blocks(view);
  const size_t elements = static_cast<size_t>(view.elements);
  const std::vector<uint16_t> survives = count_levels(view, blocks);
  std::vector<uint16_t> places(survives.size(), kNotKept);
  std::vector<Element> kept;
  for (size_t b = 0; b < static_cast<size_t>(blocks); ++b) {
    order_block(view, static_cast<int>(b), survives.data() + b * elements, &kept);
    for (size_t i = 0; i < kept.size(); ++i) {
      places[b * elements + static_cast<size_t>(kept[i].index)] = static_cast<uint16_t>(i);
    }
  }
  return places;
}

PackedWeights pack_nested(const WeightView& view, const std::vector<int32_t>& element_offsets) {
  PackedWeights packed;
  packed.levels = view.levels;
  packed.blocks = count_blocks(view);
  packed.prefixes.assign(static_cast<size_t>(packed.levels) * static_cast<size_t>(packed.blocks),
                         0);
  packed.weights.assign(static_cast<size_t>(packed.levels), 0);

  const std::vector<uint16_t> survives = count_levels(view, packed.blocks);
  const auto row = [&](int block) { return survives.data() + int64_t{block} * view.elements; };
  size_t total = 0;
  for (int b = 0; b < packed.blocks; ++b) {
    count_kept(view, b, row(b), &packed);
    total += static_cast<size_t>(packed.nnz(0, b));
  }
  packed.values = AlignedBuffer<float>(total * kBlockHeight);
  packed.offsets.reserve(total);
  packed.begins.reserve(static_cast<size_t>(packed.blocks));
  std::vector<Element> kept;
  for (int b = 0; b < packed.blocks; ++b) {
    order_block(view, b, row(b), &kept);
    pack_block(view, b, kept, element_offsets, &packed);
  }
  return packed;
}

}  // namespace aio
