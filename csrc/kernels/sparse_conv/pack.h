// SPDX-License-Identifier: Apache-2.0
//
// Nested packing: from dense weights and block scores to the one buffer that every pruning level
// reads.
//
// Per block of 16 output channels the surviving input elements are stored band by band: first those
// that the sparsest level keeps, then what each denser level adds; a band is sorted by address. So
// a level is a prefix length per block, and to switch levels is to read another row of the prefix
// table.
#ifndef AIO_CSRC_KERNELS_SPARSE_CONV_PACK_H_
#define AIO_CSRC_KERNELS_SPARSE_CONV_PACK_H_

#include <cstdint>
#include <vector>

#include "csrc/base/aligned.h"

namespace aio {

// Weights as training leaves them. An element is one channel of one tap; with groups, of the
// channels that the output channel's group reads.
struct WeightView {
  const float* weight;  // out_channels x elements
  const float* score;   // ceil(out_channels / 16) x elements; null: dense at every level
  const float*
      threshold;  // levels, non-decreasing; a level keeps the blocks with score > threshold
  int levels;
  int out_channels;
  int elements;    // of one output channel
  int groups = 1;  // of equal size; divides out_channels
};

struct PackedWeights {
  int levels = 0;
  int blocks = 0;
  AlignedBuffer<float> values;    // kept elements x 16, channels beyond out_channels are zero
  std::vector<int32_t> offsets;   // kept elements
  std::vector<int64_t> begins;    // per block: its first kept element
  std::vector<int32_t> prefixes;  // levels x blocks: kept elements of the block at the level
  std::vector<int64_t> weights;   // by level: weights kept, the zeros of the layout not counted

  int32_t nnz(int level, int block) const {
    return prefixes[static_cast<size_t>(level) * static_cast<size_t>(blocks) +
                    static_cast<size_t>(block)];
  }
  size_t bytes() const;
};

// `element_offsets` gives, for each element of each group, where a kernel finds it, in floats from
// the tile's input pointer. A block that spans several groups holds the elements of all of them,
// with zeros for the output channels that do not read them.
PackedWeights pack_nested(const WeightView& view, const std::vector<int32_t>& element_offsets);

// The place of an element that no level keeps.
constexpr uint16_t kNotKept = 0xFFFF;

// Where an element is among its block's kept elements in packed order, blocks x elements, or
// kNotKept. Requires one group and fewer elements than kNotKept.
std::vector<uint16_t> kept_places(const WeightView& view);

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_PACK_H_
