// SPDX-License-Identifier: Apache-2.0
//
// Every instruction set against double precision, and the vector ISAs against each other.
#include <array>
#include <cmath>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/upsample/upsample.h"

namespace {

constexpr int kInPixels = 4;
constexpr int kStride = 64;    // of the input's pixels
constexpr int kChannels = 48;  // three blocks: what lies behind them is left alone
constexpr std::array<aio::UpsampleTap, 5> kTaps = {
    {{0, 1, 0.0f}, {0, 1, 0.25f}, {1, 2, 0.6f}, {2, 3, 0.75f}, {3, 3, 0.0f}}};

std::vector<float> run(aio::Isa isa, const std::vector<float>& top,
                       const std::vector<float>& bottom, float weight) {
  std::vector<float> out(kTaps.size() * kStride, 77.0f);
  aio::select_upsample(isa)->fn({top.data(), bottom.data(), weight, kStride, out.data(), kStride,
                                 kTaps.data(), static_cast<int>(kTaps.size()), kChannels});
  return out;
}

void check_row(const std::vector<float>& top, const std::vector<float>& bottom, float weight,
               const std::vector<float>& out) {
  const auto blend = [](float a, float b, double w) { return a * (1.0 - w) + b * w; };
  bool ok = true;
  for (size_t x = 0; x < kTaps.size(); ++x) {
    const size_t first = static_cast<size_t>(kTaps[x].first) * kStride;
    const size_t second = static_cast<size_t>(kTaps[x].second) * kStride;
    const double w = double{kTaps[x].weight};
    for (size_t c = 0; c < kStride; ++c) {
      const float got = out[x * kStride + c];
      if (c >= kChannels) {
        ok = ok && got == 77.0f;
        continue;
      }
      const double above = blend(top[first + c], top[second + c], w);
      const double below = blend(bottom[first + c], bottom[second + c], w);
      const double exact = above * (1.0 - double{weight}) + below * double{weight};
      ok = ok && std::fabs(double{got} - exact) <= std::ldexp(40.0, -24);  // of values up to 5
    }
  }
  AIO_CHECK(ok);
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  std::uniform_real_distribution<float> uniform(-5.0f, 5.0f);
  std::vector<float> top(kInPixels * kStride), bottom(kInPixels * kStride);
  for (float& x : top) x = uniform(generator);
  for (float& x : bottom) x = uniform(generator);
  const std::vector<aio::Isa> isas = aio::list_isas(aio::detect_isa());
  for (const float weight : {0.0f, 0.3f, 1.0f}) {
    for (const aio::Isa isa : isas) {
      const std::vector<float> out = run(isa, top, bottom, weight);
      check_row(top, bottom, weight, out);
      if (isa != aio::Isa::kScalar) AIO_CHECK(out == run(isas[0], top, bottom, weight));
    }
  }
  return aio::finish_checks();
}
