// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/best_rate.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "csrc/base/check.h"

namespace {

using namespace std::chrono_literals;

void sleep_a_millisecond() { std::this_thread::sleep_for(1ms); }

void test_a_rate_is_work_over_time() {
  const double rate = aio::best_rate(1, 1.0, 1, [](int) {
    sleep_a_millisecond();
    return int64_t{5};
  });
  AIO_CHECK(rate > 0.0 && rate <= 5000.0);  // a sleep is never shorter
}

void test_threads_are_added_up() {
  const double rate = aio::best_rate(3, 1.0, 1, [](int thread) {
    sleep_a_millisecond();
    return thread == 0 ? int64_t{1000000} : int64_t{1};
  });
  AIO_CHECK(rate > 0.0 && rate <= 1000002.0 * 1000.0);
}

void test_every_thread_works_often_enough() {
  std::atomic<int> stretches[2] = {};
  aio::best_rate(2, 0.001, 4, [&](int thread) {
    ++stretches[thread];
    sleep_a_millisecond();
    return int64_t{1};
  });
  AIO_CHECK(stretches[0] >= 4 && stretches[1] >= 4);
}

void test_nobody_stops_before_all_are_done() {
  std::atomic<bool> slow_done{false};
  std::atomic<bool> quick_during{false};
  aio::best_rate(2, 0.001, 1, [&](int thread) {
    if (thread == 0) {
      if (!slow_done) quick_during = true;
      return int64_t{1};
    }
    std::this_thread::sleep_for(20ms);
    slow_done = true;
    return int64_t{1};
  });
  AIO_CHECK(slow_done.load() && quick_during.load());
}

}  // namespace

int main() {
  test_a_rate_is_work_over_time();
  test_threads_are_added_up();
  test_every_thread_works_often_enough();
  test_nobody_stops_before_all_are_done();
  return aio::finish_checks();
}
