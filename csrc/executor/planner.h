// SPDX-License-Identifier: Apache-2.0
//
// From a graph to steps and buffers: additions and activations are fused into the convolution or
// linear layer before them, values that are joined are made where they are joined, and every buffer
// gets its place in one arena, shared by values that are never alive together.
#ifndef AIO_CSRC_EXECUTOR_PLANNER_H_
#define AIO_CSRC_EXECUTOR_PLANNER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "csrc/base/status.h"
#include "csrc/executor/graph.h"

namespace aio {

constexpr int kNoValue = -1;

// What one step of the executor does: a node with what was fused into it.
struct PlannedStep {
  int node;                 // any but an input or a flatten
  std::vector<int> inputs;  // values read, residual not counted; of a concat, those to be copied
  int residual = kNoValue;  // value added before the activation
  Activation activation = Activation::kNone;
  int output;  // value made: the last fused node
};

// Where a value lives: NHWC with a zero halo, so that convolutions need no bounds checks. Counts
// floats.
struct BufferLayout {
  int64_t arena_offset = 0;
  int64_t size = 0;
  int channel_stride = 0;  // between pixels: at least the channels
  int height = 0;
  int width = 0;
  int halo_top = 0;
  int halo_left = 0;
  int halo_bottom = 0;
  int halo_right = 0;
  int channel_offset = 0;  // of the value's first channel within a pixel
  bool is_part = false;    // other values have channels of the same pixels

  ptrdiff_t col() const { return channel_stride; }
  ptrdiff_t row() const { return col() * (halo_left + width + halo_right); }
  // Pixel (0, 0) of the image, the value's first channel.
  int64_t origin() const {
    return arena_offset + halo_top * row() + halo_left * col() + channel_offset;
  }
};

// Where a value lies among the channels of a concatenation; alone, it is its own whole.
struct ChannelRange {
  int whole = kNoValue;
  int begin = 0;

  bool operator==(const ChannelRange& other) const {
    return whole == other.whole && begin == other.begin;
  }
};

// Steps from the first to the last that may run band by band.
struct ChainRange {
  int first;
  int last;
};

constexpr int kMaxChain = 8;
// Smaller values stay in the L2 cache until the next step has read them, for the most part: to
// make those of half the size in bands took ResNet-50 2 % longer.
constexpr int64_t kMinChainedBytes = 1024 * 1024;

struct Plan {
  std::vector<PlannedStep> steps;
  std::vector<ChainRange> chains;
  std::vector<BufferLayout>
      buffers;               // by value; empty for values that were fused away or are views
  std::vector<int> storage;  // by value: the value whose buffer it lives in (views), else itself
  std::vector<ChannelRange> ranges;  // by value that is not a view
  int64_t arena_size = 0;

  const BufferLayout& buffer(int value) const {
    return buffers[static_cast<size_t>(storage[static_cast<size_t>(value)])];
  }
  const ChannelRange& range(int value) const {
    return ranges[static_cast<size_t>(storage[static_cast<size_t>(value)])];
  }
};

// Refuses a graph whose activations need more than 1 GiB. Steps form a chain where one hands at
// least `min_chained_bytes` to the next.
Status make_plan(const Graph& graph, Plan* plan, int64_t min_chained_bytes = kMinChainedBytes);

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_PLANNER_H_
