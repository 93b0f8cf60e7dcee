// SPDX-License-Identifier: Apache-2.0
//
// Every instruction set against double precision, and the vector ISAs against each other.
#include <cmath>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/layer_norm/layer_norm.h"

namespace {

struct Case {
  int height;
  int width;
  int channels;
  float mean;
};

// An image whose rows have a pixel more than is looked at, and pixels channels more; those are NaN.
struct Fixture {
  Case shape;
  int blocks;
  int col;
  int row;
  std::vector<float> in;
  std::vector<float> weight;
  std::vector<float> bias;
  aio::LayerNorm work{};

  Fixture(const Case& c, std::mt19937* generator)
      : shape(c),
        blocks((c.channels + 15) / 16 * 16),
        col(blocks + 16),
        row(col * (c.width + 1)),
        in(static_cast<size_t>(row * c.height), std::nanf("")),
        weight(static_cast<size_t>(blocks * c.width * c.height)),
        bias(weight.size()) {
    std::normal_distribution<float> normal;
    for (float& w : weight) w = normal(*generator);
    for (float& b : bias) b = normal(*generator);
    for (int y = 0; y < c.height; ++y) {
      for (int x = 0; x < c.width; ++x) {
        for (int i = 0; i < c.channels; ++i) in[at(y, x, i)] = c.mean + normal(*generator);
      }
    }
    work = {c.height, c.width,       c.channels,  in.data(),        row,    col,  nullptr, row,
            col,      weight.data(), bias.data(), blocks * c.width, blocks, 1e-5f};
  }

  size_t at(int y, int x, int i) const { return static_cast<size_t>(y * row + x * col + i); }

  // In the order of the channels looked at; the others may be anything.
  std::vector<float> run(aio::Isa isa) const {
    std::vector<float> out(in.size());
    aio::LayerNorm job = work;
    job.out = out.data();
    aio::select_layer_norm(isa)->fn(job);
    return values(out);
  }

  std::vector<float> values(const std::vector<float>& image) const {
    std::vector<float> result;
    for (int y = 0; y < shape.height; ++y) {
      for (int x = 0; x < shape.width; ++x) {
        for (int i = 0; i < shape.channels; ++i) result.push_back(image[at(y, x, i)]);
      }
    }
    return result;
  }

  void check(const std::vector<float>& out) const {
    const std::vector<float> x = values(in);
    const double count = static_cast<double>(x.size());
    double mean = 0.0, variance = 0.0;
    for (const float v : x) mean += double{v} / count;
    for (const float v : x) variance += (double{v} - mean) * (double{v} - mean) / count;
    const double deviation = std::sqrt(variance + double{work.eps});
    bool ok = true;
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t pixel = i / static_cast<size_t>(shape.channels);
      const size_t vector =
          pixel * static_cast<size_t>(blocks) + i % static_cast<size_t>(shape.channels);
      const double normal = (double{x[i]} - mean) / deviation;
      const double exact = normal * double{weight[vector]} + double{bias[vector]};
      // Rounding of the mean, a row's sums by lane, and of the last operations.
      const double unit = std::ldexp(1.0, -24);
      const double terms = shape.width * blocks / 16.0 + 8.0;
      const double size = std::fabs(double{shape.mean}) + 4.0;
      const double error = unit * terms * (size / deviation + std::fabs(normal) + 1.0);
      ok = ok && std::fabs(double{out[i]} - exact) <=
                     error * (std::fabs(double{weight[vector]}) + 1.0) + unit * std::fabs(exact);
    }
    AIO_CHECK(ok);
  }
};

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  const std::vector<aio::Isa> isas = aio::list_isas(aio::detect_isa());
  const Case cases[] = {{1, 1, 1, 0.0f},  {1, 1, 7, 0.0f},   {1, 1, 96, 0.0f},  {1, 1, 100, 30.0f},
                        {3, 5, 16, 0.0f}, {4, 3, 20, -9.0f}, {14, 14, 40, 1.0f}};
  for (const Case& c : cases) {
    const Fixture fixture(c, &generator);
    for (const aio::Isa isa : isas) {
      const std::vector<float> out = fixture.run(isa);
      fixture.check(out);
      if (isa != aio::Isa::kScalar) AIO_CHECK(out == fixture.run(isas[0]));
    }
  }
  return aio::finish_checks();
}
