// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/fma_peak/fma_peak.h"

#include <algorithm>
#include <chrono>

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

double measure_fma_peak(Isa isa, double duration_ms) {
  using Clock = std::chrono::steady_clock;
  const PeakFn peak = select_fma_peak(isa);
  float sink[48];
  std::fill(sink, sink + 16, 0.5f);
  std::fill(sink + 16, sink + 48, 1.0f);
  constexpr int64_t kIterations = 10000;
  double best = 0.0;
  const auto begin = Clock::now();
  auto now = begin;
  while (best == 0.0 ||
         std::chrono::duration<double, std::milli>(now - begin).count() < duration_ms) {
    const auto start = now;
    const int64_t flops = peak(kIterations, sink);
    now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - start).count();
    if (seconds > 0.0) best = std::max(best, static_cast<double>(flops) / seconds * 1e-9);
  }
  return best;
}

}  // namespace aio
