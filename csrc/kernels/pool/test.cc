// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/pool/pool.h"

namespace {

// A 3x3 window with stride 2 and padding 1 over one block of channels of a 5x4 image.
struct Fixture {
  std::vector<float> in;
  std::vector<float> out;
  aio::Pool2d pool{};

  explicit Fixture(std::mt19937* generator) : in(5 * 4 * 16), out(3 * 2 * 16) {
    std::normal_distribution<float> normal;
    for (float& x : in) x = normal(*generator);
    pool.in = in.data();
    pool.in_height = 5;
    pool.in_width = 4;
    pool.in_row = 4 * 16;
    pool.in_col = 16;
    pool.out = out.data();
    pool.out_width = 2;
    pool.out_row = 2 * 16;
    pool.out_col = 16;
    pool.channels = 16;
    pool.kernel_h = pool.kernel_w = 3;
    pool.stride_h = pool.stride_w = 2;
    pool.pad_top = pool.pad_left = pool.pad_bottom = pool.pad_right = 1;
  }

  // The window's values in the image, and how many positions it has in the padded one.
  std::vector<float> window(int row, int col, int channel, int* padded) const {
    std::vector<float> values;
    *padded = 0;
    for (int y = row * 2 - 1; y < row * 2 + 2; ++y) {
      for (int x = col * 2 - 1; x < col * 2 + 2; ++x) {
        if (y >= 6 || x >= 5) continue;
        ++*padded;
        if (y < 0 || x < 0 || y >= 5 || x >= 4) continue;
        values.push_back(in[static_cast<size_t>((y * 4 + x) * 16 + channel)]);
      }
    }
    return values;
  }
};

template <typename Expected>
void check_all(const Fixture& f, Expected expected) {
  bool ok = true;
  for (int row = 0; row < 3; ++row) {
    for (int col = 0; col < 2; ++col) {
      for (int c = 0; c < 16; ++c) {
        int padded = 0;
        const std::vector<float> values = f.window(row, col, c, &padded);
        const float got = f.out[static_cast<size_t>((row * 2 + col) * 16 + c)];
        ok = ok && std::fabs(got - expected(values, padded)) < 1e-5f;
      }
    }
  }
  AIO_CHECK(ok);
}

float sum(const std::vector<float>& values) {
  float total = 0;
  for (const float value : values) total += value;
  return total;
}

void check_kernels(const aio::PoolKernels& kernels, std::mt19937* generator) {
  Fixture f(generator);
  kernels.max(f.pool, 0, 3);
  check_all(f,
            [](const std::vector<float>& v, int) { return *std::max_element(v.begin(), v.end()); });
  kernels.avg(f.pool, 0, 3);
  check_all(f,
            [](const std::vector<float>& v, int) { return sum(v) / static_cast<float>(v.size()); });
  f.pool.count_include_pad = true;
  kernels.avg(f.pool, 0, 3);
  check_all(f, [](const std::vector<float>& v, int padded) {
    return sum(v) / static_cast<float>(padded);
  });

  // As the first and as the last element of its window.
  f.in[0] = NAN;
  f.in[static_cast<size_t>((4 * 4 + 3) * 16 + 1)] = NAN;
  kernels.max(f.pool, 0, 3);
  const size_t last = static_cast<size_t>((2 * 2 + 1) * 16);
  AIO_CHECK(std::isnan(f.out[0]) && !std::isnan(f.out[1]));
  AIO_CHECK(std::isnan(f.out[last + 1]) && !std::isnan(f.out[last]));
}

// Five blocks of channels: four are taken at once. 5x4 pixels make 3x3, so that windows overlap.
void check_adaptive(const aio::PoolKernels& kernels, std::mt19937* generator) {
  constexpr int kChannels = 80;
  std::normal_distribution<float> normal;
  std::vector<float> in(5 * 4 * kChannels), most(3 * 3 * kChannels), mean(most.size());
  for (float& x : in) x = normal(*generator);
  aio::Pool2d pool{};
  pool.in = in.data();
  pool.in_height = 5;
  pool.in_width = 4;
  pool.in_row = 4 * kChannels;
  pool.in_col = kChannels;
  pool.out_height = pool.out_width = 3;
  pool.out_row = 3 * kChannels;
  pool.out_col = kChannels;
  pool.channels = kChannels;
  pool.adaptive = true;
  pool.out = most.data();
  kernels.max(pool, 0, 3);
  pool.out = mean.data();
  kernels.avg(pool, 0, 3);
  const int rows[3][2] = {{0, 2}, {1, 4}, {3, 5}};  // floor(5 y / 3) to ceil(5 (y + 1) / 3)
  const int cols[3][2] = {{0, 2}, {1, 3}, {2, 4}};
  bool ok = true;
  for (int i = 0; i < 3 * 3 * kChannels; ++i) {
    const int c = i % kChannels;
    const auto& row = rows[i / kChannels / 3];
    const auto& col = cols[i / kChannels % 3];
    std::vector<float> values;
    for (int y = row[0]; y < row[1]; ++y) {
      for (int x = col[0]; x < col[1]; ++x) {
        values.push_back(in[static_cast<size_t>((y * 4 + x) * kChannels + c)]);
      }
    }
    const auto at = static_cast<size_t>(i);
    ok = ok && most[at] == *std::max_element(values.begin(), values.end());
    ok = ok && std::fabs(mean[at] - sum(values) / static_cast<float>(values.size())) < 1e-5f;
  }
  AIO_CHECK(ok);
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  for (const aio::Isa isa : aio::list_isas(aio::detect_isa())) {
    check_kernels(*aio::select_pool(isa), &generator);
    check_adaptive(*aio::select_pool(isa), &generator);
  }
  return aio::finish_checks();
}
