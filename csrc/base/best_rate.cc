// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/best_rate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace aio {
namespace {

using Clock = std::chrono::steady_clock;

struct Meeting {
  int threads;
  std::atomic<int> ready{0};
  std::atomic<int> done{0};
};

void wait_for_all(const Meeting& meeting) {
  while (meeting.ready.load() < meeting.threads) std::this_thread::yield();
}

double thread_rate(int thread, double duration_ms, int min_stretches, const Stretch& stretch,
                   Meeting* meeting) {
  ++meeting->ready;
  wait_for_all(*meeting);
  double best = 0.0;
  const auto begin = Clock::now();
  auto now = begin;
  int stretches = 0;
  while (best == 0.0 || stretches < min_stretches ||
         std::chrono::duration<double, std::milli>(now - begin).count() < duration_ms) {
    const auto start = now;
    const int64_t work = stretch(thread);
    now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - start).count();
    if (seconds > 0.0) best = std::max(best, static_cast<double>(work) / seconds);
    ++stretches;
  }
  ++meeting->done;
  while (meeting->done.load() < meeting->threads) (void)stretch(thread);
  return best;
}

}  // namespace

double best_rate(int threads, double duration_ms, int min_stretches, const Stretch& stretch) {
  Meeting meeting{threads};
  std::vector<double> rates(static_cast<size_t>(threads), 0.0);
  const auto run = [&](int thread) {
    rates[static_cast<size_t>(thread)] =
        thread_rate(thread, duration_ms, min_stretches, stretch, &meeting);
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  for (std::thread& other : others) other.join();
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace aio
