// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/fma_peak/fma_peak.h"

#include <algorithm>

#include "csrc/base/best_rate.h"

namespace aio {
namespace {

using PeakFn = int64_t (*)(int64_t iterations, float* sink);

PeakFn select_fma_peak(Isa isa) {
  switch (isa) {
#define AIO_FMA_PEAK(isa, suffix) \
  case isa:                       \
    return fma_peak_f32_##suffix;
#include "csrc/kernels/fma_peak/fma_peak.inc"
#undef AIO_FMA_PEAK
    default:  // an ISA of another architecture
      break;
  }
  return fma_peak_f32_scalar;
}

}  // namespace

double measure_fma_peak(Isa isa, double duration_ms, int threads) {
  constexpr int64_t kIterations = 10000;
  const PeakFn peak = select_fma_peak(isa);
  const double flops = best_rate(threads, duration_ms, 1, [peak](int) {
    float sink[48];
    std::fill(sink, sink + 16, 0.5f);
    std::fill(sink + 16, sink + 48, 1.0f);
    return peak(kIterations, sink);
  });
  return flops * 1e-9;
}

}  // namespace aio
