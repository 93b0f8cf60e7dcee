// SPDX-License-Identifier: Apache-2.0
//
// How the packed weights of a layer lie in memory. Layers, packed weights and kernels carry it, and
// a kernel reads only weights of its own layout.
#ifndef AIO_CSRC_KERNELS_BLOCK_LAYOUT_H_
#define AIO_CSRC_KERNELS_BLOCK_LAYOUT_H_

namespace aio {

enum class WeightType { kFloat32 };

// A block is `height` output channels x 1 input element (one channel of one tap).
struct BlockLayout {
  int height = 16;
  WeightType type = WeightType::kFloat32;

  bool operator==(const BlockLayout& other) const {
    return height == other.height && type == other.type;
  }
};

// That a model may have; not all have kernels.
constexpr int kBlockHeights[] = {16, 8, 4};

constexpr int blocks_of(int out_channels, const BlockLayout& layout) {
  return (out_channels + layout.height - 1) / layout.height;
}

// Floats of a Vec16: the channels that Winograd and depthwise kernels take at once.
constexpr int kLanes = 16;

// Activations have a multiple of so many channels, so that every kernel may load and store whole
// vectors: a multiple of kLanes and of every block height.
constexpr int kChannelPad = 16;

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_BLOCK_LAYOUT_H_
