// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the table on tiles of exactly its size, in buffers without slack, so that the
// address sanitizer sees any read or write outside; against the double-precision oracle, and vector
// ISAs against each other.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/activation_reference.h"
#include "csrc/kernels/sparse_conv/pack.h"
#include "csrc/kernels/sparse_conv/reference.h"
#include "csrc/kernels/sparse_conv/sparse_conv.h"
#include "csrc/kernels/sparse_linear/sparse_linear.h"

namespace {

using aio::Activation;
using aio::SparseConvKernel;
using aio::reference::activate;

struct Case {
  int height;
  int rows;
  int cols;
  int in_channels;
  int kernel;
  int stride;
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

// Inputs, weights and epilogue of one tile.
struct Data {
  aio::BlockLayout layout;
  int in_height;
  int in_width;
  int elements;
  int chunk;
  std::vector<float> in, weight, score, threshold, scale, bias, residual;
  aio::PackedWeights packed;

  Data(const Case& c, std::mt19937* generator)
      : layout{c.height, aio::WeightType::kFloat32},
        in_height((c.rows - 1) * c.stride + c.kernel),
        in_width((c.cols - 1) * c.stride + c.kernel),
        elements(c.in_channels * c.kernel * c.kernel),
        chunk(static_cast<int>((*generator)() % 3) * c.kernel * c.kernel),
        in(random_floats(generator, static_cast<size_t>(in_height * in_width * c.in_channels))),
        weight(random_floats(generator, static_cast<size_t>(elements * c.height))),
        threshold{static_cast<float>(1.0 - c.density)},
        scale(random_floats(generator, static_cast<size_t>(c.height))),
        bias(random_floats(generator, static_cast<size_t>(c.height))),
        residual(random_floats(generator, static_cast<size_t>(c.rows * c.cols * c.height))) {
    std::uniform_real_distribution<float> uniform;
    for (int e = 0; e < elements; ++e) score.push_back(uniform(*generator));
    std::vector<int32_t> offsets;
    for (int ch = 0; ch < c.in_channels; ++ch) {
      for (int y = 0; y < c.kernel; ++y) {
        for (int x = 0; x < c.kernel; ++x)
          offsets.push_back((y * in_width + x) * c.in_channels + ch);
      }
    }
    packed = aio::pack_nested(view(), offsets);
    if ((*generator)() % 2 == 0) widen_offsets();
  }

  // As if they did not fit in two bytes.
  void widen_offsets() {
    aio::PackedOffsets wide(packed.offsets.size(), aio::OffsetWidth::kFourBytes);
    for (size_t i = 0; i < wide.size(); ++i) wide.set(i, packed.offsets[i]);
    packed.offsets = std::move(wide);
  }

  aio::WeightView view() const {
    return {weight.data(), score.data(), threshold.data(), 1, layout.height, elements, 1,
            chunk,         layout};
  }
};

// In passes over `pass` chunks each; 0 is all of them.
std::vector<float> run_kernel(const SparseConvKernel& kernel, const Case& c, const Data& data,
                              int pass = 0) {
  std::vector<float> out(static_cast<size_t>(c.rows * c.cols * c.height), NAN);
  aio::SparseConvTile tile{};
  tile.in = data.in.data();
  tile.in_row = ptrdiff_t{data.in_width} * c.in_channels * c.stride;
  tile.in_col = ptrdiff_t{c.in_channels} * c.stride;
  std::vector<aio::SparseConvSpan> spans;
  for (int chunk = 0; chunk < data.packed.chunks; ++chunk) {
    const aio::PackedSpan& kept = data.packed.spans(0, 0)[chunk];
    const float* values = data.packed.values.data() + kept.begin * c.height;
    const aio::PackedOffsets& offsets = data.packed.offsets;
    spans.push_back({values, offsets.at(kept.begin), offsets.at(kept.begin + kept.nnz),
                     reinterpret_cast<const char*>(values), 64, 0});
  }
  tile.offset_width = data.packed.offsets.width();
  tile.scale = data.scale.data();
  tile.bias = data.bias.data();
  tile.residual = c.residual ? data.residual.data() : nullptr;
  tile.residual_row = tile.out_row = ptrdiff_t{c.cols} * c.height;
  tile.residual_col = tile.out_col = c.height;
  tile.out = out.data();
  tile.activation = c.activation;
  tile.count = 1;
  const int step = pass == 0 ? data.packed.chunks : pass;
  for (int chunk = 0; chunk < data.packed.chunks; chunk += step) {
    tile.spans = spans.data() + chunk;
    tile.span_count = std::min(step, data.packed.chunks - chunk);
    tile.resumes = chunk > 0;
    tile.pauses = chunk + step < data.packed.chunks;
    kernel.fn(tile);
  }
  return out;
}

void check_against_oracle(const SparseConvKernel& kernel, const Case& c, const Data& data,
                          const std::vector<float>& out) {
  bool ok = true;
  std::vector<double> x(static_cast<size_t>(data.elements));
  for (int pixel = 0; pixel < c.rows * c.cols; ++pixel) {
    size_t e = 0;
    for (int ch = 0; ch < c.in_channels; ++ch) {
      for (int y = 0; y < c.kernel; ++y) {
        for (int dx = 0; dx < c.kernel; ++dx) {
          const int row = (pixel / c.cols) * c.stride + y;
          const int col = (pixel % c.cols) * c.stride + dx;
          x[e++] = data.in[static_cast<size_t>((row * data.in_width + col) * c.in_channels + ch)];
        }
      }
    }
    for (int n = 0; n < c.height; ++n) {
      const size_t at = static_cast<size_t>(pixel * c.height + n);
      aio::reference::Bounded expected =
          aio::reference::dot(data.view(), 0, n, x, data.scale[static_cast<size_t>(n)],
                              data.bias[static_cast<size_t>(n)]);
      if (c.residual) expected.value += data.residual[at];
      // The residual's addition rounds once; hardswish has a slope of at most 1.5 and rounds four
      // times.
      const double unit = std::ldexp(1.0, -24);
      const double slack = 1.5 * expected.tolerance + 8.0 * unit *
                                                          (std::fabs(expected.value) + 1.0) *
                                                          (std::fabs(expected.value) + 1.0);
      ok = ok && std::fabs(double{out[at]} - activate(expected.value, c.activation)) <= slack;
    }
  }
  if (!ok) {
    std::fprintf(stderr, "%s: channels %d kernel %d stride %d density %g\n", kernel.name,
                 c.in_channels, c.kernel, c.stride, c.density);
  }
  AIO_CHECK(ok);
}

// For each case, the results of the vector ISAs that ran it must be the same bits.
void test_table(std::mt19937* generator) {
  size_t count = 0;
  const SparseConvKernel* kernels = aio::sparse_conv_kernels(&count);
  const aio::IsaMask available = aio::detect_isa();
  std::map<std::array<int, 3>, std::vector<const SparseConvKernel*>> by_tile;
  for (size_t i = 0; i < count; ++i) {
    if (aio::contains(available, kernels[i].isa)) {
      by_tile[{kernels[i].layout.height, kernels[i].rows, kernels[i].cols}].push_back(&kernels[i]);
    }
  }
  const Activation activations[] = {Activation::kNone, Activation::kRelu, Activation::kRelu6,
                                    Activation::kHardswish, Activation::kGelu};
  int variant = 0;
  for (const auto& [tile, group] : by_tile) {
    for (const double density : {0.0, 0.05, 0.5, 1.0}) {
      for (const int kernel : {1, 3}) {
        ++variant;
        const Case c{tile[0],         tile[1],         tile[2], 1 + variant % 19,
                     kernel,          1 + variant % 2, density, activations[variant % 5],
                     variant % 3 == 0};
        const Data data(c, generator);
        std::vector<float> vector_result;
        for (const SparseConvKernel* candidate : group) {
          const std::vector<float> out = run_kernel(*candidate, c, data);
          check_against_oracle(*candidate, c, data, out);
          AIO_CHECK(out == run_kernel(*candidate, c, data, 1));
          AIO_CHECK(out == run_kernel(*candidate, c, data, 2));
          if (candidate->isa == aio::Isa::kScalar) continue;
          if (!vector_result.empty()) AIO_CHECK(out == vector_result);
          vector_result = out;
        }
      }
    }
  }
}

void test_nan_passes_activations() {
  size_t count = 0;
  const SparseConvKernel* kernels = aio::sparse_conv_kernels(&count);
  std::mt19937 generator(1);
  for (size_t i = 0; i < count; ++i) {
    if (kernels[i].rows * kernels[i].cols != 1 || !aio::contains(aio::detect_isa(), kernels[i].isa))
      continue;
    const Case c{kernels[i].layout.height, 1, 1, 1, 1, 1, 1.0, Activation::kRelu6, false};
    Data data(c, &generator);
    data.in[0] = NAN;
    const std::vector<float> out = run_kernel(kernels[i], c, data);
    AIO_CHECK(std::all_of(out.begin(), out.end(), [](float y) { return std::isnan(y); }));
  }
}

// Images of any size are covered with tiles of one row at worst.
void test_one_row_has_every_width() {
  size_t count = 0;
  const SparseConvKernel* kernels = aio::sparse_conv_kernels(&count);
  for (const SparseConvKernel* k = kernels; k != kernels + count; ++k) {
    if (k->rows > 1) continue;
    for (int cols = 1; cols <= k->cols; ++cols) {
      AIO_CHECK(aio::find_sparse_conv(k->isa, k->layout, 1, cols) != nullptr);
    }
  }
  AIO_CHECK(aio::find_sparse_conv(aio::Isa::kScalar, {}, 9, 9) == nullptr);
}

// A layout that has kernels has them on every ISA, so whether a model can run does not depend on
// the machine.
void test_every_isa_has_the_same_layouts() {
  size_t count = 0;
  const SparseConvKernel* kernels = aio::sparse_conv_kernels(&count);
  for (const int height : aio::kBlockHeights) {
    const aio::BlockLayout layout{height, aio::WeightType::kFloat32};
    for (const SparseConvKernel* k = kernels; k != kernels + count; ++k) {
      AIO_CHECK((aio::find_sparse_conv(k->isa, layout, 1, 1) != nullptr) ==
                aio::has_sparse_conv(layout));
      AIO_CHECK((aio::select_sparse_linear(k->isa, layout) != nullptr) ==
                aio::has_sparse_conv(layout));
    }
  }
  AIO_CHECK(aio::has_sparse_conv({16}) && aio::has_sparse_conv({8}) && !aio::has_sparse_conv({4}));
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  test_table(&generator);
  test_nan_passes_activations();
  test_one_row_has_every_width();
  test_every_isa_has_the_same_layouts();
  return aio::finish_checks();
}
