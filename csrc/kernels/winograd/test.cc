// SPDX-License-Identifier: Apache-2.0
//
// The three transforms of every instruction set together: products of transformed patches and
// kernels, summed over channels, against a direct convolution in double precision; and the vector
// ISAs against each other. Buffers have no slack, so that the address sanitizer sees any access
// outside.
#include <algorithm>
#include <cmath>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/winograd/winograd.h"

namespace {

using aio::kWinogradPoints;
using aio::kWinogradTaps;
using aio::kWinogradTile;
using aio::WinogradKernels;

constexpr int kLanes = 16;  // as many input as output channels

// One tile that lies in the image with some rows and columns only.
struct Case {
  int rows;
  int cols;
  double density;
  bool residual;
};

std::vector<float> random_floats(std::mt19937* generator, size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(*generator);
  return values;
}

struct Data {
  int height;  // of the input the tile's pixels need
  int width;
  std::vector<float> in, values, scale, bias, residual;
  std::vector<uint16_t> places;
  int nnz;

  Data(const Case& c, std::mt19937* generator)
      : height(c.rows + 2),
        width(c.cols + 2),
        in(random_floats(generator, static_cast<size_t>(height * width * kLanes))),
        scale(random_floats(generator, kLanes)),
        bias(random_floats(generator, kLanes)),
        residual(random_floats(generator, static_cast<size_t>(c.rows * c.cols * kLanes))) {
    std::bernoulli_distribution keep(c.density);
    uint16_t kept = 0;
    for (int e = 0; e < kLanes * kWinogradTaps; ++e) {
      places.push_back(keep(*generator) ? kept++ : aio::kNotKept);
    }
    values = random_floats(generator, static_cast<size_t>(kept * kLanes));
    nnz = kept * 3 / 4;  // a sparser level than the densest
  }

  // Weight of a tap of an input channel for output channel n, as the level has it.
  double weight(int channel, int tap, int n) const {
    const int place = places[static_cast<size_t>(channel * kWinogradTaps + tap)];
    return place < nnz ? values[static_cast<size_t>(place * kLanes + n)] : 0.0;
  }
};

std::vector<float> run(const WinogradKernels& kernels, const Case& c, const Data& data) {
  std::vector<float> patch(kWinogradPoints * kLanes);
  std::vector<float> weights(kWinogradPoints * kLanes * kLanes);
  kernels.input({data.in.data(), ptrdiff_t{data.width} * kLanes, kLanes, data.height, data.width,
                 patch.data(), kLanes});
  kernels.weights(
      {data.values.data(), data.places.data(), data.nnz, kLanes, weights.data(), kLanes * kLanes});
  std::vector<float> sums(kWinogradPoints * kLanes);
  for (size_t point = 0; point < kWinogradPoints; ++point) {
    for (size_t k = 0; k < kLanes; ++k) {
      for (size_t n = 0; n < kLanes; ++n) {
        sums[point * kLanes + n] +=
            patch[point * kLanes + k] * weights[(point * kLanes + k) * kLanes + n];
      }
    }
  }
  std::vector<float> out(static_cast<size_t>(c.rows * c.cols * kLanes), NAN);
  const ptrdiff_t row = ptrdiff_t{c.cols} * kLanes;
  kernels.output({sums.data(), kLanes, data.scale.data(), data.bias.data(),
                  c.residual ? data.residual.data() : nullptr, row, kLanes, out.data(), row, kLanes,
                  c.rows, c.cols, aio::Activation::kRelu});
  return out;
}

// The error is far below what a wrong coefficient makes: a millionth of the sum of all absolute
// products within the patch, which the transforms mix.
void check_against_oracle(const Case& c, const Data& data, const std::vector<float>& out) {
  bool ok = true;
  for (int n = 0; n < kLanes; ++n) {
    double magnitude = 0.0;
    for (int k = 0; k < kLanes; ++k) {
      double largest = 0.0;
      for (int tap = 0; tap < kWinogradTaps; ++tap) {
        largest = std::max(largest, std::fabs(data.weight(k, tap, n)));
      }
      for (int p = 0; p < data.height * data.width; ++p) {
        magnitude += largest * std::fabs(data.in[static_cast<size_t>(p * kLanes + k)]);
      }
    }
    for (int pixel = 0; pixel < c.rows * c.cols; ++pixel) {
      double sum = 0.0;
      for (int k = 0; k < kLanes; ++k) {
        for (int tap = 0; tap < kWinogradTaps; ++tap) {
          const int y = pixel / c.cols + tap / 3;
          const int x = pixel % c.cols + tap % 3;
          sum += data.weight(k, tap, n) *
                 data.in[static_cast<size_t>((y * data.width + x) * kLanes + k)];
        }
      }
      const size_t at = static_cast<size_t>(pixel * kLanes + n);
      const double scale = data.scale[static_cast<size_t>(n)];
      double expected = scale * sum + data.bias[static_cast<size_t>(n)];
      if (c.residual) expected += data.residual[at];
      const double tolerance = 1e-6 * (std::fabs(scale) * magnitude + std::fabs(expected) + 1.0);
      ok = ok && std::fabs(out[at] - std::max(expected, 0.0)) <= tolerance;
    }
  }
  AIO_CHECK(ok);
}

void check_case(const Case& c, std::mt19937* generator) {
  const Data data(c, generator);
  std::vector<float> first;
  for (const aio::Isa isa : aio::list_isas(aio::detect_isa())) {
    const std::vector<float> out = run(*aio::select_winograd(isa), c, data);
    check_against_oracle(c, data, out);
    if (isa == aio::Isa::kScalar) continue;
    if (first.empty()) first = out;
    AIO_CHECK(out == first);
  }
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  for (int rows = 1; rows <= kWinogradTile; ++rows) {
    for (int cols = 1; cols <= kWinogradTile; ++cols) {
      for (const double density : {1.0, 0.5, 0.0}) {
        check_case({rows, cols, density, rows % 2 == 0}, &generator);
      }
    }
  }
  return aio::finish_checks();
}
