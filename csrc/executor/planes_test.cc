// SPDX-License-Identifier: Apache-2.0
//
// Images of any number of channels, packed closely or in whole blocks, with any halo: loaded, every
// float of the buffer is right; stored, the planes come back.
#include "csrc/executor/planes.h"

#include <cmath>
#include <random>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/base/thread_pool.h"

namespace {

struct Case {
  aio::Shape shape;
  aio::BufferLayout buffer;
};

Case random_case(std::mt19937* generator) {
  const auto below = [&](unsigned limit) { return static_cast<int>((*generator)() % limit); };
  Case c;
  const int few[] = {1, 3, 4, 1 + below(40)};
  c.shape.channels = few[below(4)];
  c.shape.height = 1 + below(9);
  c.shape.width = 1 + below(50);
  c.buffer.arena_offset = below(3) * 16;
  c.buffer.channel_stride = c.shape.channels + (below(2) == 0 ? 0 : below(20));
  c.buffer.height = c.shape.height;
  c.buffer.width = c.shape.width;
  c.buffer.halo_top = below(3);
  c.buffer.halo_left = below(3);
  c.buffer.halo_bottom = below(3);
  c.buffer.halo_right = below(3);
  c.buffer.size = c.buffer.row() * (c.buffer.halo_top + c.shape.height + c.buffer.halo_bottom);
  return c;
}

// Of the image, its halo, and the channels that only fill up a pixel.
float expected(const Case& c, const std::vector<float>& planes, int row, int col, int channel) {
  const int y = row - c.buffer.halo_top;
  const int x = col - c.buffer.halo_left;
  const bool inside = y >= 0 && y < c.shape.height && x >= 0 && x < c.shape.width;
  if (!inside || channel >= c.shape.channels) return 0.0f;
  return planes[static_cast<size_t>((channel * c.shape.height + y) * c.shape.width + x)];
}

void check_case(const Case& c, aio::ThreadPool* pool) {
  std::vector<float> planes(static_cast<size_t>(c.shape.size()));
  for (size_t i = 0; i < planes.size(); ++i) planes[i] = 1.0f + static_cast<float>(i);
  const aio::BufferLayout& buffer = c.buffer;
  std::vector<float> arena(static_cast<size_t>(buffer.arena_offset + buffer.size + 1), NAN);
  aio::load_planes({arena.data(), nullptr, pool}, planes.data(), c.shape, buffer);
  const float* at = arena.data() + buffer.arena_offset;
  const int cols = buffer.halo_left + buffer.width + buffer.halo_right;
  for (int64_t i = 0; i < buffer.size; ++i) {
    const int channel = static_cast<int>(i % buffer.col());
    const int col = static_cast<int>(i / buffer.col() % cols);
    const int row = static_cast<int>(i / buffer.row());
    AIO_CHECK(at[i] == expected(c, planes, row, col, channel));
  }
  AIO_CHECK(std::isnan(at[buffer.size]));

  std::vector<float> back(planes.size());
  aio::store_planes(arena.data(), buffer, c.shape, back.data());
  AIO_CHECK(back == planes);
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  aio::ThreadPool one(1);
  aio::ThreadPool two(2);
  for (int i = 0; i < 2000; ++i) {
    const Case c = random_case(&generator);
    check_case(c, i % 2 == 0 ? &one : &two);
  }
  Case photo;  // large enough for two threads
  photo.shape = {3, 200, 150, false};
  photo.buffer.channel_stride = 3;
  photo.buffer.height = 200;
  photo.buffer.width = 150;
  photo.buffer.size = photo.buffer.row() * 200;
  check_case(photo, &two);
  return aio::finish_checks();
}
