// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/layer_weights.h"

#include <algorithm>

namespace aio {
namespace {

// levels x channels to levels x blocks x height.
AlignedBuffer<float> pad_to_blocks(const Floats& vectors, float absent, int channels,
                                   const PackedWeights& packed) {
  const size_t padded_channels =
      static_cast<size_t>(packed.blocks) * static_cast<size_t>(packed.layout.height);
  AlignedBuffer<float> padded(static_cast<size_t>(packed.levels) * padded_channels);
  for (int level = 0; level < packed.levels; ++level) {
    float* out = padded.data() + static_cast<size_t>(level) * padded_channels;
    if (vectors.empty()) {
      std::fill(out, out + channels, absent);
    } else {
      const float* in = vectors.data() + int64_t{level} * channels;
      std::copy(in, in + channels, out);
    }
  }
  return padded;
}

}  // namespace

WeightView weight_view(const LayerWeights& weights, int levels, int chunk) {
  // The depthwise kernel gives every channel its own input, so there is nothing to tell apart.
  const int groups = weights.is_depthwise() ? 1 : weights.groups;
  return {weights.weight.data(),
          weights.score.empty() ? nullptr : weights.score.data(),
          weights.threshold.empty() ? nullptr : weights.threshold.data(),
          levels,
          weights.out_channels,
          weights.in_channels * weights.kernel_h * weights.kernel_w,
          groups,
          chunk,
          weights.layout};
}

PackedLayer::PackedLayer(const LayerWeights& weights, int levels,
                         const std::vector<int32_t>& element_offsets, int chunk)
    : packed_(pack_nested(weight_view(weights, levels, chunk), element_offsets)),
      scale_(pad_to_blocks(weights.scale, 1.0f, weights.out_channels, packed_)),
      bias_(pad_to_blocks(weights.bias, 0.0f, weights.out_channels, packed_)),
      prunable_weights_(weights.score.empty() ? 0 : static_cast<int64_t>(weights.weight.size())) {
  for (int level = 0; level < levels; ++level) {
    int64_t total = 0;
    for (int block = 0; block < packed_.blocks; ++block) total += packed_.nnz(level, block);
    total_nnz_.push_back(total);
  }
}

void PackedLayer::describe(int64_t pixels, LayerInfo* info) const {
  info->sparse = prunable_weights_ > 0;
  info->prunable_weights = prunable_weights_;
  for (int level = 0; level < packed_.levels; ++level) {
    const int64_t weights = packed_.weights[static_cast<size_t>(level)];
    info->nonzero_weights[static_cast<size_t>(level)] = weights;
    info->macs[static_cast<size_t>(level)] = weights * pixels;
    info->weight_bytes[static_cast<size_t>(level)] =
        weights * int64_t{sizeof(float)} + total_nnz(level) * bytes_of(offset_width());
  }
}

}  // namespace aio
