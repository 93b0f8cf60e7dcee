// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/read_bandwidth/read_bandwidth.h"

#include <algorithm>
#include <atomic>

#include "csrc/base/best_rate.h"

namespace aio {
namespace {

// A stretch reads so much at least, or the clock would be measured.
constexpr int64_t kMinStretchFloats = 64 * 1024;

using ReadFn = float (*)(const float* data, int64_t count);

ReadFn select_read_sum(Isa isa) {
  switch (isa) {
#define AIO_READ_BANDWIDTH(isa, suffix) \
  case isa:                             \
    return read_sum_f32_##suffix;
#include "csrc/kernels/read_bandwidth/read_bandwidth.inc"
#undef AIO_READ_BANDWIDTH
    default:  // an ISA of another architecture
      break;
  }
  return read_sum_f32_scalar;
}

}  // namespace

double measure_read_bandwidth(Isa isa, const float* data, int64_t count, double duration_ms,
                              int threads) {
  const ReadFn read_sum = select_read_sum(isa);
  const int64_t share = count / threads / kReadStep * kReadStep;
  const int64_t passes = std::max<int64_t>(1, kMinStretchFloats / share);
  std::atomic<float> sink{0.0f};  // or the compiler might find that nobody needs the sums
  const double bytes = best_rate(threads, duration_ms, 2, [&](int thread) {
    float sum = 0.0f;
    for (int64_t pass = 0; pass < passes; ++pass) sum += read_sum(data + thread * share, share);
    sink.store(sum, std::memory_order_relaxed);
    return passes * share * int64_t{sizeof(float)};
  });
  return bytes * 1e-9;
}

}  // namespace aio
