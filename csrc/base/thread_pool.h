// SPDX-License-Identifier: Apache-2.0
//
// A pool for short parallel loops inside one inference. The calling thread always works too, and
// never waits for a worker that did not join: a sleeping worker costs nothing, and after fork(),
// where the workers are gone, the caller does all the work.
#ifndef AIO_CSRC_BASE_THREAD_POOL_H_
#define AIO_CSRC_BASE_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace aio {

class ThreadPool {
 public:
  // Body of a loop: handles the indices [begin, end).
  using Body = void (*)(const void* context, int64_t begin, int64_t end);

  // `threads` counts the caller, so 1 starts no worker. A worker that finds no work spins for
  // `spin_us` microseconds, then sleeps.
  explicit ThreadPool(int threads, int spin_us = 50);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls `body` over [0, count) in chunks of `grain`, on this thread and on the workers awake, and
  // returns when all is done. One caller at a time. Each thread begins with its own share of
  // consecutive chunks, the same one in every loop, so that it finds in its cache what it wrote
  // before; then it helps with the shares of others.
  void parallel_for(int64_t count, int64_t grain, Body body, const void* context);

 private:
  void work(int thread);
  bool wait_for_job(uint64_t seen);
  void run_chunks(int thread);
  void wait_for_workers();

  // The job. Written only while no worker has joined.
  Body body_ = nullptr;
  const void* context_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  struct alignas(64) Share {  // of the chunks; a cache line each
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::vector<Share> shares_;  // by thread, the caller first

  std::atomic<uint64_t> generation_{0};  // counts jobs; a change wakes spinning workers
  std::atomic<bool> open_{false};        // workers may join the job
  std::atomic<int> joined_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};

  // What workers sleep on. On the heap, so that a forked child can leave it alone for ever:
  // destroying a condition variable waits for its sleepers.
  struct Bed {
    std::mutex mutex;
    std::condition_variable wake;
  };

  bool workers_are_gone() const;

  const int spin_us_;
  const uint64_t forks_;  // of this process's ancestors, when the pool was made
  std::unique_ptr<Bed> bed_;
  std::vector<std::thread> workers_;
};

}  // namespace aio

#endif  // AIO_CSRC_BASE_THREAD_POOL_H_
