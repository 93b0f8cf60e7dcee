// SPDX-License-Identifier: Apache-2.0
//
// Nested packing: from dense weights and block scores to the one buffer that every pruning level
// reads.
//
// Per block of output channels the surviving input elements are stored band by band: first those
// that the sparsest level keeps, then what each denser level adds; within a band they go channel by
// channel. So a level is a prefix, and to switch levels is to read another row of the prefix table.
//
// Each band passes over all channels, so a level of many bands would read a tile's inputs as often
// from the L2 cache. Where they do not stay in the L1 cache, the elements are cut into chunks of
// channels, each with bands and a prefix of its own (docs/adr/0008).
#ifndef AIO_CSRC_KERNELS_SPARSE_CONV_PACK_H_
#define AIO_CSRC_KERNELS_SPARSE_CONV_PACK_H_

#include <cstdint>
#include <vector>

#include "csrc/base/aligned.h"
#include "csrc/kernels/block_layout.h"
#include "csrc/kernels/sparse_conv/packed_offsets.h"

namespace aio {

// Weights as training leaves them. An element is one channel of one tap; with groups, of the
// channels that the output channel's group reads.
struct WeightView {
  const float* weight;  // out_channels x elements
  const float* score;   // blocks x elements; null: dense at every level
  const float*
      threshold;  // levels, non-decreasing; a level keeps the blocks with score > threshold
  int levels;
  int out_channels;
  int elements;    // of one output channel
  int groups = 1;  // of equal size; divides out_channels
  int chunk = 0;   // elements of a chunk; 0: all are one. Requires one group.
  BlockLayout layout = {};
};

// The kept elements of a chunk at a level.
struct PackedSpan {
  int32_t begin;  // from the block's first one
  int32_t nnz;
};

struct PackedWeights {
  BlockLayout layout;
  int levels = 0;
  int blocks = 0;
  int chunks = 1;
  AlignedBuffer<float>
      values;             // kept elements x block height, channels beyond out_channels are zero
  PackedOffsets offsets;  // kept elements
  std::vector<int64_t> begins;     // per block: its first kept element
  std::vector<PackedSpan> prefix;  // levels x blocks x chunks
  std::vector<int64_t> weights;    // by level: weights kept, the zeros of the layout not counted

  // One per chunk.
  const PackedSpan* spans(int level, int block) const {
    return prefix.data() +
           (static_cast<size_t>(level) * static_cast<size_t>(blocks) + static_cast<size_t>(block)) *
               static_cast<size_t>(chunks);
  }
  int32_t nnz(int level, int block) const;
  size_t bytes() const;
};

// `element_offsets` gives, for each element of each group, where a kernel finds it, in floats from
// the tile's input pointer. A block that spans several groups holds the elements of all of them,
// with zeros for the output channels that do not read them.
PackedWeights pack_nested(const WeightView& view, const std::vector<int32_t>& element_offsets);

// The place of an element that no level keeps.
constexpr uint16_t kNotKept = 0xFFFF;

// Where an element is among its chunk's kept elements in packed order, blocks x elements, or
// kNotKept. Requires one group and chunks of fewer elements than kNotKept.
std::vector<uint16_t> kept_places(const WeightView& view);

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_PACK_H_
