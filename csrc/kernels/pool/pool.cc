// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/pool/pool.h"

#include <algorithm>
#include <limits>

namespace aio {
namespace {

constexpr int kLanes = 16;

struct Window {
  int top, left, bottom, right;  // clipped to the image
};

Window clip(const Pool2d& pool, int row, int col) {
  const int top = row * pool.stride_h - pool.pad_top;
  const int left = col * pool.stride_w - pool.pad_left;
  return {std::max(top, 0), std::max(left, 0), std::min(top + pool.kernel_h, pool.in_height),
          std::min(left + pool.kernel_w, pool.in_width)};
}

template <typename Combine>
void reduce(const Pool2d& pool, const Window& window, int channel, float* acc, Combine combine) {
  for (int y = window.top; y < window.bottom; ++y) {
    for (int x = window.left; x < window.right; ++x) {
      const float* in = pool.in + y * pool.in_row + x * pool.in_col + channel;
      for (int i = 0; i < kLanes; ++i) acc[i] = combine(acc[i], in[i]);
    }
  }
}

int divisor(const Pool2d& pool, const Window& window, int row, int col) {
  if (!pool.count_include_pad) {
    return (window.bottom - window.top) * (window.right - window.left);
  }
  const int top = row * pool.stride_h - pool.pad_top;
  const int left = col * pool.stride_w - pool.pad_left;
  const int bottom = std::min(top + pool.kernel_h, pool.in_height + pool.pad_bottom);
  const int right = std::min(left + pool.kernel_w, pool.in_width + pool.pad_right);
  return (bottom - top) * (right - left);
}

}  // namespace

void max_pool2d(const Pool2d& pool, int row_begin, int row_end) {
  const auto larger = [](float a, float b) { return b > a || b != b ? b : a; };
  for (int row = row_begin; row < row_end; ++row) {
    for (int col = 0; col < pool.out_width; ++col) {
      const Window window = clip(pool, row, col);
      for (int c = 0; c < pool.channels; c += kLanes) {
        float acc[kLanes];
        std::fill(acc, acc + kLanes, -std::numeric_limits<float>::infinity());
        reduce(pool, window, c, acc, larger);
        std::copy(acc, acc + kLanes, pool.out + row * pool.out_row + col * pool.out_col + c);
      }
    }
  }
}

void avg_pool2d(const Pool2d& pool, int row_begin, int row_end) {
  const auto sum = [](float a, float b) { return a + b; };
  for (int row = row_begin; row < row_end; ++row) {
    for (int col = 0; col < pool.out_width; ++col) {
      const Window window = clip(pool, row, col);
      const auto count = static_cast<float>(divisor(pool, window, row, col));
      for (int c = 0; c < pool.channels; c += kLanes) {
        float acc[kLanes] = {};
        reduce(pool, window, c, acc, sum);
        float* out = pool.out + row * pool.out_row + col * pool.out_col + c;
        for (int i = 0; i < kLanes; ++i) out[i] = acc[i] / count;
      }
    }
  }
}

}  // namespace aio
