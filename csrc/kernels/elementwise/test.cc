// SPDX-License-Identifier: Apache-2.0
//
// Every activation on every instruction set against double precision, over the whole range of
// floats, and vector ISAs against each other.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/activation_reference.h"
#include "csrc/kernels/elementwise/elementwise.h"

namespace {

using aio::Activation;

constexpr Activation kAll[] = {
    Activation::kNone,        Activation::kRelu,      Activation::kRelu6,   Activation::kHardswish,
    Activation::kHardsigmoid, Activation::kLeakyRelu, Activation::kSilu,    Activation::kSigmoid,
    Activation::kTanh,        Activation::kGelu,      Activation::kGeluTanh};
constexpr float kSlope = 0.3f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> run(aio::Isa isa, const std::vector<float>& a, const std::vector<float>& b,
                       Activation activation) {
  std::vector<float> out(a.size(), 77.0f);
  aio::Elementwise work{};
  work.a = a.data();
  work.op = b.empty() ? aio::ElementwiseOp::kCopy : aio::ElementwiseOp::kAdd;
  work.b = b.data();
  work.out = out.data();
  work.pixels = 1;
  work.channels = static_cast<int64_t>(a.size());
  work.activation = activation;
  work.negative_slope = kSlope;
  aio::select_elementwise(isa)->fn(work);
  return out;
}

// Dense where activations bend, and log-uniform over all magnitudes.
std::vector<float> sweep(std::mt19937* generator) {
  std::vector<float> x;
  x.reserve(240000);
  std::uniform_real_distribution<float> linear(-20.0f, 20.0f);
  std::uniform_real_distribution<float> exponent(-37.0f, 37.0f);
  for (int i = 0; i < 200000; ++i) x.push_back(linear(*generator));
  for (int i = 0; i < 40000; ++i) {
    const float size = std::pow(10.0f, exponent(*generator));
    x.push_back(i % 2 == 0 ? size : -size);
  }
  return x;
}

// What smooth.inc states, and for the others a rounding per operation. An error d of an
// exponential's argument becomes a relative error d: that of gelu_tanh, up to 2u, is rounded three
// times, and the scalar fallback, without FMA, cannot add back what rounding takes from a^2.
double tolerance(double x, double exact, Activation activation, aio::Isa isa) {
  const double unit = std::ldexp(1.0, -24);
  const double a = std::min(std::fabs(x), 13.0);
  double relative = 4e-7;
  if (activation == Activation::kGelu) {
    relative = 6e-7 + (isa == aio::Isa::kScalar ? 0.5 * unit * a * a : 0.0);
  }
  if (activation == Activation::kGeluTanh) relative += 6.0 * unit * (1.6 * a + 0.0714 * a * a * a);
  // (x + 3) rounds by up to a unit of 4 where the gate opens; hardswish multiplies that by x.
  const bool hard = activation == Activation::kHardswish || activation == Activation::kHardsigmoid;
  const double absolute = hard ? 4.0 * unit * std::min(std::fabs(x) + 1.0, 8.0) : 0.0;
  // Below the smallest exponential, which a gate multiplies by up to 88.
  return relative * std::fabs(exact) + absolute + 89.0 * 2e-38;
}

void check_isa(aio::Isa isa, const std::vector<float>& x) {
  for (const Activation activation : kAll) {
    const std::vector<float> y = run(isa, x, {}, activation);
    double worst = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = aio::reference::activate(double{x[i]}, activation, double{kSlope});
      const double excess =
          std::fabs(double{y[i]} - exact) / tolerance(double{x[i]}, exact, activation, isa);
      if (!(excess <= worst)) worst = excess;
      if (!(excess <= 1.0)) {
        std::fprintf(stderr, "%s activation %d: f(%.9g) = %.9g, exactly %.17g\n",
                     aio::isa_name(isa), static_cast<int>(activation), double{x[i]}, double{y[i]},
                     exact);
        break;
      }
    }
    AIO_CHECK(worst <= 1.0);
  }
}

// NaN stays NaN; the limits are those of the exact function.
void check_special(aio::Isa isa) {
  struct Limit {
    Activation activation;
    float low;
    float high;
  };
  const Limit limits[] = {
      {Activation::kRelu, 0.0f, kInfinity},    {Activation::kRelu6, 0.0f, 6.0f},
      {Activation::kHardsigmoid, 0.0f, 1.0f},  {Activation::kLeakyRelu, -kInfinity, kInfinity},
      {Activation::kSilu, 0.0f, kInfinity},    {Activation::kSigmoid, 0.0f, 1.0f},
      {Activation::kTanh, -1.0f, 1.0f},        {Activation::kGelu, 0.0f, kInfinity},
      {Activation::kGeluTanh, 0.0f, kInfinity}};
  for (const Limit& limit : limits) {
    std::vector<float> x(16, 0.0f);
    x[0] = -kInfinity;
    x[1] = kInfinity;
    x[2] = std::nanf("");
    const std::vector<float> y = run(isa, x, {}, limit.activation);
    AIO_CHECK(y[0] == limit.low || std::fabs(y[0] - limit.low) < 2e-36f);
    AIO_CHECK(y[1] == limit.high);
    AIO_CHECK(std::isnan(y[2]) && !std::isnan(y[3]));
  }
}

void check_addition(aio::Isa isa, std::mt19937* generator) {
  std::normal_distribution<float> normal;
  for (const size_t count : {16u, 48u, 64u, 80u, 144u}) {
    std::vector<float> a(count), b(count), expected(count);
    for (size_t i = 0; i < count; ++i) {
      a[i] = normal(*generator);
      b[i] = normal(*generator);
      expected[i] = std::max(a[i] + b[i], 0.0f);
    }
    AIO_CHECK(run(isa, a, b, Activation::kRelu) == expected);
  }
}

// Pixels with gaps between them, which are left alone, and an operand that is one pixel.
void check_broadcast(aio::Isa isa, aio::ElementwiseOp op, std::mt19937* generator) {
  constexpr size_t kPixels = 3, kChannels = 112, kACol = 128, kOutCol = 144;
  std::normal_distribution<float> normal;
  std::vector<float> a(kPixels * kACol), b(kChannels), c(kChannels);
  for (std::vector<float>* values : {&a, &b, &c}) {
    for (float& x : *values) x = std::round(8.0f * normal(*generator));  // exact without FMA too
  }
  std::vector<float> out(kPixels * kOutCol, 77.0f), expected = out;
  for (size_t p = 0; p < kPixels; ++p) {
    for (size_t i = 0; i < kChannels; ++i) {
      const float x = a[p * kACol + i];
      float y = op == aio::ElementwiseOp::kAdd ? x + b[i] : x * b[i];
      if (op == aio::ElementwiseOp::kAffine) y += c[i];
      expected[p * kOutCol + i] = std::max(y, 0.0f);
    }
  }
  aio::Elementwise work{};
  work.op = op;
  work.a = a.data();
  work.b = b.data();
  work.c = c.data();
  work.out = out.data();
  work.pixels = kPixels;
  work.channels = kChannels;
  work.a_col = kACol;
  work.out_col = kOutCol;
  work.activation = Activation::kRelu;
  aio::select_elementwise(isa)->fn(work);
  AIO_CHECK(out == expected);
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  const std::vector<float> x = sweep(&generator);
  const std::vector<aio::Isa> isas = aio::list_isas(aio::detect_isa());
  for (const aio::Isa isa : isas) {
    check_isa(isa, x);
    check_special(isa);
    check_addition(isa, &generator);
    for (const auto op :
         {aio::ElementwiseOp::kAdd, aio::ElementwiseOp::kMul, aio::ElementwiseOp::kAffine}) {
      check_broadcast(isa, op, &generator);
    }
  }
  for (const aio::Isa isa : isas) {
    if (isa == aio::Isa::kScalar) continue;
    for (const Activation activation : kAll) {
      AIO_CHECK(run(isa, x, {}, activation) == run(isas[0], x, {}, activation));
    }
  }
  return aio::finish_checks();
}
