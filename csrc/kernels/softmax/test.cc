// SPDX-License-Identifier: Apache-2.0
//
// Every instruction set against double precision, and the vector ISAs against each other.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/softmax/softmax.h"

namespace {

constexpr int kPixels = 5;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What lies beyond the channels must not matter, so it is what would hurt most.
std::vector<float> make_input(int channels, int stride, float scale, std::mt19937* generator) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> in(static_cast<size_t>(kPixels * stride), kInfinity);
  for (int p = 0; p < kPixels; ++p) {
    for (int c = 0; c < channels; ++c) in[static_cast<size_t>(p * stride + c)] = normal(*generator);
  }
  return in;
}

std::vector<float> run(aio::Isa isa, int channels, int stride, const std::vector<float>& in) {
  std::vector<float> out(in.size(), 77.0f);
  aio::select_softmax(isa)->fn({kPixels, channels, in.data(), stride, out.data(), stride});
  for (int p = 0; p < kPixels; ++p) {  // beyond the channels anything goes
    std::fill(out.begin() + p * stride + channels, out.begin() + (p + 1) * stride, 0.0f);
  }
  return out;
}

void check_pixel(const float* in, const float* out, int channels) {
  const double top = double{*std::max_element(in, in + channels)};
  double sum = 0.0;
  for (int c = 0; c < channels; ++c) sum += std::exp(double{in[c]} - top);
  bool ok = true;
  for (int c = 0; c < channels; ++c) {
    const double exact = std::exp(double{in[c]} - top) / sum;
    // The difference from the largest is rounded in the exponent, and so are the sum's terms.
    const double unit = std::ldexp(1.0, -24);
    const double relative = 1e-6 + unit * (std::fabs(double{in[c]} - top) + channels);
    ok = ok && std::fabs(double{out[c]} - exact) <= relative * exact + 2e-38;
  }
  AIO_CHECK(ok);
}

void check_special(aio::Isa isa) {
  std::vector<float> in(kPixels * 32, 0.0f);
  in[3] = std::nanf("");
  in[32 + 17] = kInfinity;
  std::fill(in.begin() + 64, in.begin() + 96, -kInfinity);
  std::fill(in.begin() + 96 + 4, in.begin() + 128, -kInfinity);
  const std::vector<float> out = run(isa, 20, 32, in);
  AIO_CHECK(std::isnan(out[0]) && std::isnan(out[19]));
  AIO_CHECK(std::isnan(out[32 + 17]));
  AIO_CHECK(std::isnan(out[64]) && std::isnan(out[64 + 19]));
  AIO_CHECK(out[96] == 0.25f && out[96 + 4] == 0.0f && out[96 + 19] == 0.0f);
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  const std::vector<aio::Isa> isas = aio::list_isas(aio::detect_isa());
  for (const int channels : {1, 10, 16, 17, 150, 1000}) {
    const int stride = (channels + 15) / 16 * 16 + 16;
    for (const float scale : {1.0f, 40.0f}) {
      const std::vector<float> in = make_input(channels, stride, scale, &generator);
      const std::vector<float> best = run(isas[0], channels, stride, in);
      for (const aio::Isa isa : isas) {
        const std::vector<float> out = run(isa, channels, stride, in);
        for (int p = 0; p < kPixels; ++p) {
          check_pixel(in.data() + p * stride, out.data() + p * stride, channels);
        }
        if (isa != aio::Isa::kScalar) AIO_CHECK(out == best);
      }
    }
  }
  for (const aio::Isa isa : isas) check_special(isa);
  return aio::finish_checks();
}
