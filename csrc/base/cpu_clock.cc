// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/cpu_clock.h"

#include <time.h>

#include <algorithm>
#include <cstdint>

namespace aio {
namespace {

constexpr int kUnroll = 32;
constexpr int kIterations = 1000;  // x 32 additions: about 10 us at 3 GHz
constexpr int kRepeats = 5;

int64_t thread_cpu_ns() {
  timespec now;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) return -1;
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

// Adds a register, not an immediate: recent cores fold chains of immediate additions at rename.
void dependent_adds(uint64_t step) {
  uint64_t x = step;
  for (int i = 0; i < kIterations; ++i) {
#pragma GCC unroll 32
    for (int j = 0; j < kUnroll; ++j) {
      x += step;
      asm volatile("" : "+r"(x));
    }
  }
}

}  // namespace

double measure_cpu_khz() {
  int64_t best_ns = 0;
  uint64_t step = 3;
  asm volatile("" : "+r"(step));
  for (int i = 0; i < kRepeats; ++i) {
    const int64_t begin = thread_cpu_ns();
    dependent_adds(step);
    const int64_t elapsed = thread_cpu_ns() - begin;
    if (begin < 0 || elapsed <= 0) return 0.0;
    best_ns = i == 0 ? elapsed : std::min(best_ns, elapsed);
  }
  return double{kUnroll} * kIterations / static_cast<double>(best_ns) * 1e6;
}

}  // namespace aio
