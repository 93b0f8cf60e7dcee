// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/sparse_conv/pack.h"

#include <algorithm>
#include <numeric>

namespace aio {
namespace {

// From begin to before end.
struct Range {
  int begin;
  int end;
};

int count_chunks(const WeightView& view) {
  return view.chunk == 0 ? 1 : (view.elements + view.chunk - 1) / view.chunk;
}

int count_blocks(const WeightView& view) { return blocks_of(view.out_channels, view.layout); }

Range channels_of(const WeightView& view, int block) {
  const int height = view.layout.height;
  return {block * height, std::min((block + 1) * height, view.out_channels)};
}

// The block's channels that read the group.
Range channels_of(const WeightView& view, int block, int group) {
  const int size = view.out_channels / view.groups;
  const Range all = channels_of(view, block);
  return {std::max(all.begin, group * size), std::min(all.end, (group + 1) * size)};
}

// The groups that the block's channels read.
Range groups_of(const WeightView& view, int block) {
  const int size = view.out_channels / view.groups;
  const Range channels = channels_of(view, block);
  return {channels.begin / size, (channels.end - 1) / size + 1};
}

Range elements_of(const WeightView& view, int chunk) {
  if (view.chunk == 0) return {0, view.elements};
  return {chunk * view.chunk, std::min((chunk + 1) * view.chunk, view.elements)};
}

// How many levels keep each element, blocks x elements. Read once: scores may be another's memory,
// and whatever happens there, all that follows must agree on what is kept.
std::vector<uint16_t> count_levels(const WeightView& view) {
  const size_t size = static_cast<size_t>(count_blocks(view)) * static_cast<size_t>(view.elements);
  std::vector<uint16_t> survives(size, static_cast<uint16_t>(view.levels));
  if (view.score == nullptr) return survives;
  for (size_t i = 0; i < size; ++i) {
    // All levels, as a search would branch on what nothing can predict.
    int levels = 0;
    for (int l = 0; l < view.levels; ++l) levels += view.score[i] > view.threshold[l];
    survives[i] = static_cast<uint16_t>(levels);
  }
  return survives;
}

// The number of the chunk's elements by how many levels keep them. `survives` is the block's row of
// count_levels().
std::vector<int32_t> count_elements(const WeightView& view, const uint16_t* survives,
                                    Range elements) {
  std::vector<int32_t> counts(static_cast<size_t>(view.levels) + 1, 0);
  for (int e = elements.begin; e < elements.end; ++e) ++counts[survives[e]];
  return counts;
}

// Sets the block's prefixes and adds to the levels' weights. Returns how many elements are kept.
int32_t count_block(const WeightView& view, int block, const uint16_t* survives,
                    PackedWeights* packed) {
  const Range groups = groups_of(view, block);
  const Range channels = channels_of(view, block);
  int32_t begin = 0;
  for (int chunk = 0; chunk < packed->chunks; ++chunk) {
    const std::vector<int32_t> counts = count_elements(view, survives, elements_of(view, chunk));
    int32_t kept = 0;
    for (int level = view.levels - 1; level >= 0; --level) {
      kept += counts[static_cast<size_t>(level) + 1];
      const ptrdiff_t first = packed->spans(level, block) - packed->spans(0, 0);
      packed->prefix[static_cast<size_t>(first + chunk)] = {begin,
                                                            kept * (groups.end - groups.begin)};
      packed->weights[static_cast<size_t>(level)] +=
          int64_t{kept} * (channels.end - channels.begin);
    }
    begin += kept * (groups.end - groups.begin);
  }
  return begin;
}

// Calls visit(element, begin, place) for every kept element of the block: its number among those of
// all groups, and in packed order the place of its chunk's first one and its own. The order of a
// chunk is that of most levels first, but elements are visited as they are numbered: weights are
// read, and bands written, from front to back.
template <typename Visit>
void for_each_kept(const WeightView& view, int block, const uint16_t* survives,
                   const Visit& visit) {
  const Range groups = groups_of(view, block);
  size_t begin = 0;
  for (int chunk = 0; chunk < count_chunks(view); ++chunk) {
    const Range elements = elements_of(view, chunk);
    const std::vector<int32_t> counts = count_elements(view, survives, elements);
    std::vector<size_t> next(counts.size());  // by survives: place of the next such element
    size_t end = begin;
    for (size_t levels = counts.size() - 1; levels > 0; --levels) {
      next[levels] = end;
      end += static_cast<size_t>(counts[levels] * (groups.end - groups.begin));
    }
    for (int group = groups.begin; group < groups.end; ++group) {
      for (int e = elements.begin; e < elements.end; ++e) {
        if (survives[e] > 0) visit(group * view.elements + e, begin, next[survives[e]]++);
      }
    }
    begin = end;
  }
}

// Packs the block's elements from `begin` on.
void pack_block(const WeightView& view, int block, const uint16_t* survives,
                const std::vector<int32_t>& element_offsets, size_t begin, PackedWeights* packed) {
  const int height = view.layout.height;
  float* values = packed->values.data() + begin * static_cast<size_t>(height);
  for_each_kept(view, block, survives, [&](int element, size_t, size_t place) {
    const Range channels = channels_of(view, block, element / view.elements);
    const float* weight = view.weight + element % view.elements;
    for (int c = channels.begin; c < channels.end; ++c) {
      values[place * static_cast<size_t>(height) + static_cast<size_t>(c % height)] =
          weight[int64_t{c} * view.elements];
    }
    packed->offsets.set(begin + place, element_offsets[static_cast<size_t>(element)]);
  });
}

}  // namespace

int32_t PackedWeights::nnz(int level, int block) const {
  const PackedSpan* const first = spans(level, block);
  return std::accumulate(first, first + chunks, 0,
                         [](int32_t sum, const PackedSpan& span) { return sum + span.nnz; });
}

size_t PackedWeights::bytes() const {
  return values.bytes() + offsets.bytes() + begins.size() * sizeof(int64_t) +
         prefix.size() * sizeof(PackedSpan);
}

std::vector<uint16_t> kept_places(const WeightView& view) {
  const size_t elements = static_cast<size_t>(view.elements);
  const std::vector<uint16_t> survives = count_levels(view);
  std::vector<uint16_t> places(survives.size(), kNotKept);
  for (int b = 0; b < count_blocks(view); ++b) {
    const size_t row = static_cast<size_t>(b) * elements;
    for_each_kept(view, b, &survives[row], [&](int element, size_t begin, size_t place) {
      places[row + static_cast<size_t>(element)] = static_cast<uint16_t>(place - begin);
    });
  }
  return places;
}

PackedWeights pack_nested(const WeightView& view, const std::vector<int32_t>& element_offsets) {
  PackedWeights packed;
  packed.layout = view.layout;
  packed.levels = view.levels;
  packed.blocks = count_blocks(view);
  packed.chunks = count_chunks(view);
  packed.prefix.assign(static_cast<size_t>(packed.levels) * static_cast<size_t>(packed.blocks) *
                           static_cast<size_t>(packed.chunks),
                       PackedSpan{0, 0});
  packed.weights.assign(static_cast<size_t>(packed.levels), 0);

  const std::vector<uint16_t> survives = count_levels(view);
  const auto row = [&](int block) { return survives.data() + int64_t{block} * view.elements; };
  size_t total = 0;
  for (int b = 0; b < packed.blocks; ++b) {
    packed.begins.push_back(static_cast<int64_t>(total));
    total += static_cast<size_t>(count_block(view, b, row(b), &packed));
  }
  packed.values = AlignedBuffer<float>(total * static_cast<size_t>(view.layout.height));
  const int32_t largest = *std::max_element(element_offsets.begin(), element_offsets.end());
  packed.offsets = PackedOffsets(total, PackedOffsets::width_for(largest));
  for (int b = 0; b < packed.blocks; ++b) {
    const size_t begin = static_cast<size_t>(packed.begins[static_cast<size_t>(b)]);
    pack_block(view, b, row(b), element_offsets, begin, &packed);
  }
  return packed;
}

}  // namespace aio
