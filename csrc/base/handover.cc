// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/handover.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace aio {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSeries = 20;
constexpr int kTrips = 100;  // of a series
// Where both threads share one processor, neither sees the other while it spins.
constexpr int kSpinsBeforeYield = 1000;

struct alignas(64) Line {
  std::atomic<int> turn{0};
};

void wait_for(const Line& line, int turn) {
  for (int spins = 0; line.turn.load(std::memory_order_acquire) != turn; ++spins) {
    if (spins >= kSpinsBeforeYield) std::this_thread::yield();
  }
}

}  // namespace

double measure_handover_ns() {
  Line line;
  std::thread other([&line] {
    for (int trip = 0; trip < kSeries * kTrips; ++trip) {
      wait_for(line, 2 * trip + 1);
      line.turn.store(2 * trip + 2, std::memory_order_release);
    }
  });
  double best_ns = 0.0;
  for (int series = 0; series < kSeries; ++series) {
    const auto begin = Clock::now();
    for (int trip = series * kTrips; trip < (series + 1) * kTrips; ++trip) {
      line.turn.store(2 * trip + 1, std::memory_order_release);
      wait_for(line, 2 * trip + 2);
    }
    const double took_ns = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
    best_ns = series == 0 ? took_ns : std::min(best_ns, took_ns);
  }
  other.join();
  return best_ns / kTrips;
}

}  // namespace aio
