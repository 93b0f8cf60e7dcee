// SPDX-License-Identifier: Apache-2.0
//
// What convolution and linear steps share: packed weights, per-level scale and bias padded to whole
// blocks, and the counts that users see.
#ifndef AIO_CSRC_EXECUTOR_LAYER_WEIGHTS_H_
#define AIO_CSRC_EXECUTOR_LAYER_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "csrc/base/aligned.h"
#include "csrc/executor/graph.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/sparse_conv/pack.h"

namespace aio {

// How the packer sees a layer, in chunks of so many elements; refers to `weights`.
WeightView weight_view(const LayerWeights& weights, int levels, int chunk = 0);

class PackedLayer {
 public:
  PackedLayer(const LayerWeights& weights, int levels, const std::vector<int32_t>& element_offsets,
              int chunk = 0);

  const PackedWeights& packed() const { return packed_; }
  int height() const { return packed_.layout.height; }
  const float* values(int block) const {
    return packed_.values.data() + packed_.begins[static_cast<size_t>(block)] * height();
  }
  // From the block's first one on, of the width below.
  const char* offsets(int block) const {
    return packed_.offsets.at(packed_.begins[static_cast<size_t>(block)]);
  }
  OffsetWidth offset_width() const { return packed_.offsets.width(); }
  // As many floats as a block is high.
  const float* scale(int level, int block) const { return scale_.data() + vector_at(level, block); }
  const float* bias(int level, int block) const { return bias_.data() + vector_at(level, block); }
  // Kept elements of all blocks.
  int64_t total_nnz(int level) const { return total_nnz_[static_cast<size_t>(level)]; }
  // Of a level's values and offsets.
  int64_t level_bytes(int level) const {
    return total_nnz(level) * (height() * int64_t{sizeof(float)} + bytes_of(offset_width()));
  }
  size_t bytes() const { return packed_.bytes() + scale_.bytes() + bias_.bytes(); }

  // Fills in the counts of describe_node(); `pixels` is how often each weight is used per sample.
  void describe(int64_t pixels, LayerInfo* info) const;

 private:
  size_t vector_at(int level, int block) const {
    return (static_cast<size_t>(level) * static_cast<size_t>(packed_.blocks) +
            static_cast<size_t>(block)) *
           static_cast<size_t>(height());
  }

  PackedWeights packed_;
  AlignedBuffer<float> scale_;
  AlignedBuffer<float> bias_;
  std::vector<int64_t> total_nnz_;
  int64_t prunable_weights_;
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_LAYER_WEIGHTS_H_
