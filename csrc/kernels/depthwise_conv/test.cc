// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the table on regions below, at and above its tile, in buffers without slack, so
// that the address sanitizer sees any read or write outside; against the double-precision oracle,
// and vector ISAs against each other.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/activation_reference.h"
#include "csrc/kernels/depthwise_conv/depthwise_conv.h"
#include "csrc/kernels/sparse_conv/pack.h"
#include "csrc/kernels/sparse_conv/reference.h"

namespace {

using aio::Activation;
using aio::DepthwiseConvKernel;

struct Case {
  int rows;
  int cols;
  int kernel;
  int stride;
  int dilation;
  int blocks;  // of channels in the buffers; the last is computed
  double density;
  Activation activation;
  bool residual;
};

std::vector<float> random_floats(std::mt19937* generator, size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(*generator);
  return values;
}

// Inputs, weights and epilogue of one region.
struct Data {
  int channels;
  int width;
  int height;
  int taps;
  std::vector<float> in, weight, score, threshold, scale, bias, residual;
  aio::PackedWeights packed;
  std::vector<int32_t> offsets;  // in packed order

  Data(const Case& c, std::mt19937* generator)
      : channels(16 * c.blocks),
        width((c.cols - 1) * c.stride + (c.kernel - 1) * c.dilation + 1),
        height((c.rows - 1) * c.stride + (c.kernel - 1) * c.dilation + 1),
        taps(c.kernel * c.kernel),
        in(random_floats(generator, static_cast<size_t>(height * width * channels))),
        weight(random_floats(generator, static_cast<size_t>(taps * 16))),
        threshold{static_cast<float>(1.0 - c.density)},
        scale(random_floats(generator, 16)),
        bias(random_floats(generator, 16)),
        residual(random_floats(generator, static_cast<size_t>(c.rows * c.cols * channels))) {
    std::uniform_real_distribution<float> uniform;
    for (int tap = 0; tap < taps; ++tap) score.push_back(uniform(*generator));
    std::vector<int32_t> tap_offsets;
    for (int y = 0; y < c.kernel; ++y) {
      for (int x = 0; x < c.kernel; ++x) {
        tap_offsets.push_back((y * width + x) * c.dilation * channels);
      }
    }
    packed = aio::pack_nested(view(), tap_offsets);
    offsets = packed.offsets.to_vector();
  }

  aio::WeightView view() const {
    return {weight.data(), score.data(), threshold.data(), 1, 16, taps};
  }
  int first_channel() const { return channels - 16; }
};

// All channels of the region's pixels; those of other blocks stay NaN.
std::vector<float> run_kernel(const DepthwiseConvKernel& kernel, const Case& c, const Data& data) {
  std::vector<float> out(static_cast<size_t>(c.rows * c.cols * data.channels), NAN);
  const int first = data.first_channel();
  aio::DepthwiseConvRegion region{};
  region.rows = c.rows;
  region.cols = c.cols;
  region.in = data.in.data() + first;
  region.in_row = ptrdiff_t{data.width} * data.channels * c.stride;
  region.in_col = ptrdiff_t{data.channels} * c.stride;
  region.values = data.packed.values.data();
  region.offsets = data.offsets.data();
  region.nnz = data.packed.nnz(0, 0);
  region.scale = data.scale.data();
  region.bias = data.bias.data();
  region.residual = c.residual ? data.residual.data() + first : nullptr;
  region.residual_row = region.out_row = ptrdiff_t{c.cols} * data.channels;
  region.residual_col = region.out_col = data.channels;
  region.out = out.data() + first;
  region.activation = c.activation;
  kernel.fn(region);
  return out;
}

// What the taps of a pixel read in channel n of the block.
std::vector<double> taps_of(const Case& c, const Data& data, int pixel, int n) {
  std::vector<double> x;
  for (int y = 0; y < c.kernel; ++y) {
    for (int dx = 0; dx < c.kernel; ++dx) {
      const int row = (pixel / c.cols) * c.stride + y * c.dilation;
      const int col = (pixel % c.cols) * c.stride + dx * c.dilation;
      const int at = (row * data.width + col) * data.channels + data.first_channel() + n;
      x.push_back(data.in[static_cast<size_t>(at)]);
    }
  }
  return x;
}

void check_against_oracle(const DepthwiseConvKernel& kernel, const Case& c, const Data& data,
                          const std::vector<float>& out) {
  bool ok = true;
  const double unit = std::ldexp(1.0, -24);
  for (int pixel = 0; pixel < c.rows * c.cols; ++pixel) {
    for (int n = 0; n < data.first_channel(); ++n) {
      ok = ok && std::isnan(out[static_cast<size_t>(pixel * data.channels + n)]);
    }
    for (int n = 0; n < 16; ++n) {
      const size_t at = static_cast<size_t>(pixel * data.channels + data.first_channel() + n);
      aio::reference::Bounded expected = aio::reference::dot(
          data.view(), 0, n, taps_of(c, data, pixel, n), data.scale[static_cast<size_t>(n)],
          data.bias[static_cast<size_t>(n)]);
      if (c.residual) expected.value += data.residual[at];
      // The residual's addition rounds once; hardswish has a slope of at most 1.5 and rounds four
      // times.
      const double size = std::fabs(expected.value) + 1.0;
      const double slack = 1.5 * expected.tolerance + 8.0 * unit * size * size;
      const double activated = aio::reference::activate(expected.value, c.activation);
      ok = ok && std::fabs(double{out[at]} - activated) <= slack;
    }
  }
  if (!ok) {
    std::fprintf(stderr, "%s: kernel %d stride %d dilation %d blocks %d density %g\n", kernel.name,
                 c.kernel, c.stride, c.dilation, c.blocks, c.density);
  }
  AIO_CHECK(ok);
}

void check_case(const std::vector<const DepthwiseConvKernel*>& kernels, const Case& c,
                std::mt19937* generator) {
  const Data data(c, generator);
  std::vector<float> vector_result;
  for (const DepthwiseConvKernel* kernel : kernels) {
    std::vector<float> out = run_kernel(*kernel, c, data);
    check_against_oracle(*kernel, c, data, out);
    if (kernel->isa == aio::Isa::kScalar) continue;
    std::replace_if(out.begin(), out.end(), [](float y) { return std::isnan(y); }, 0.0f);
    if (!vector_result.empty()) AIO_CHECK(out == vector_result);
    vector_result = out;
  }
}

// For each case, the results of the vector ISAs must be the same bits.
void test_table(std::mt19937* generator) {
  size_t count = 0;
  const DepthwiseConvKernel* kernels = aio::depthwise_conv_kernels(&count);
  std::vector<const DepthwiseConvKernel*> available;
  for (size_t i = 0; i < count; ++i) {
    if (aio::contains(aio::detect_isa(), kernels[i].isa)) available.push_back(&kernels[i]);
  }
  const Activation activations[] = {Activation::kNone, Activation::kRelu, Activation::kRelu6,
                                    Activation::kHardswish};
  int variant = 0;
  for (int cols = 1; cols <= 20; ++cols) {
    for (const double density : {0.0, 0.5, 1.0}) {
      for (const int kernel : {1, 3, 5}) {
        ++variant;
        const Case c{1 + variant % 3,
                     cols,
                     kernel,
                     1 + variant % 4 / 2,
                     1 + variant % 5 / 4,
                     1 + variant % 3 / 2,
                     density,
                     activations[variant % 4],
                     variant % 5 < 2};
        check_case(available, c, generator);
      }
    }
  }
}

// A NaN in one channel stays there, through the activation.
void test_nan_stays_in_its_channel() {
  size_t count = 0;
  const DepthwiseConvKernel* kernels = aio::depthwise_conv_kernels(&count);
  const Case c{1, 1, 3, 1, 1, 1, 1.0, Activation::kRelu6, false};
  std::mt19937 generator(1);
  Data data(c, &generator);
  data.in[5] = NAN;
  for (size_t i = 0; i < count; ++i) {
    if (!aio::contains(aio::detect_isa(), kernels[i].isa)) continue;
    const std::vector<float> out = run_kernel(kernels[i], c, data);
    for (size_t n = 0; n < 16; ++n) AIO_CHECK(std::isnan(out[n]) == (n == 5));
  }
}

void test_selection_by_name() {
  const auto name = [](aio::Isa isa) {
    const DepthwiseConvKernel* kernel = aio::select_depthwise_conv(isa);
    return kernel == nullptr ? std::string() : std::string(kernel->name);
  };
  AIO_CHECK(name(aio::Isa::kScalar) == "depthwise_conv_f32_1x4x16_scalar");
#if defined(__x86_64__)
  AIO_CHECK(name(aio::Isa::kAvx512) == "depthwise_conv_f32_1x8x16_avx512");
  AIO_CHECK(name(aio::Isa::kAvx2Fma3) == "depthwise_conv_f32_1x6x16_avx2_fma3");
  AIO_CHECK(name(aio::Isa::kNeon).empty());
#elif defined(__aarch64__)
  AIO_CHECK(name(aio::Isa::kNeon) == "depthwise_conv_f32_1x6x16_neon");
#endif
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  test_table(&generator);
  test_nan_stays_in_its_channel();
  test_selection_by_name();
  return aio::finish_checks();
}
