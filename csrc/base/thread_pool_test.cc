// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "csrc/base/check.h"

namespace {

struct Visits {
  explicit Visits(int64_t count) : times(static_cast<size_t>(count)) {}
  std::vector<std::atomic<int>> times;
};

void visit(const void* context, int64_t begin, int64_t end) {
  auto* visits = static_cast<Visits*>(const_cast<void*>(context));
  for (int64_t i = begin; i < end; ++i) ++visits->times[static_cast<size_t>(i)];
}

bool each_once(aio::ThreadPool* pool, int64_t count, int64_t grain) {
  Visits visits(count);
  pool->parallel_for(count, grain, visit, &visits);
  return std::all_of(visits.times.begin(), visits.times.end(),
                     [](const auto& n) { return n == 1; });
}

void test_every_index_once() {
  for (const int threads : {1, 2, 3, 8}) {
    aio::ThreadPool pool(threads);
    AIO_CHECK(pool.threads() == threads);
    for (const int64_t count : {0, 1, 2, 7, 1000}) {
      for (const int64_t grain : {1, 3, 1000}) AIO_CHECK(each_once(&pool, count, grain));
    }
  }
}

// Jobs that follow each other closely, with pauses in which workers go to sleep.
void test_many_jobs() {
  aio::ThreadPool pool(3, /*spin_us=*/20);
  bool ok = true;
  for (int job = 0; job < 2000; ++job) {
    ok = ok && each_once(&pool, 64, 1);
    if (job % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  AIO_CHECK(ok);
}

void test_idle_pool_is_destroyed() {
  for (int i = 0; i < 50; ++i) {
    aio::ThreadPool pool(4, i % 2 == 0 ? 0 : 1000);
    AIO_CHECK(pool.threads() == 4);
  }
}

// After fork() the workers are gone, and may have held the mutex: the caller must do all the work,
// and the pool's end must not wait for them. Forks at many points of a worker's way to sleep.
void test_survives_fork() {
  for (int i = 0; i < 40; ++i) {
    auto pool = std::make_unique<aio::ThreadPool>(4, /*spin_us=*/5);
    AIO_CHECK(each_once(pool.get(), 100, 1));
    std::this_thread::sleep_for(std::chrono::microseconds(2 * i));
    const pid_t child = fork();
    if (child == 0) {
      const bool ok = each_once(pool.get(), 100, 1);
      pool.reset();
      _exit(ok ? 0 : 1);
    }
    int status = 1;
    AIO_CHECK(waitpid(child, &status, 0) == child);
    AIO_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

}  // namespace

int main() {
  test_every_index_once();
  test_many_jobs();
  test_idle_pool_is_destroyed();
  test_survives_fork();
  return aio::finish_checks();
}
