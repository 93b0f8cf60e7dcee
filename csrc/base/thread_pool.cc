// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>

namespace aio {
namespace {

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::atomic<uint64_t> forks{0};

// How many forks lie between the first process and this one. Cheaper than getpid() in every loop.
uint64_t count_forks() {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  (void)registered;
  return forks.load(std::memory_order_relaxed);
}

}  // namespace

ThreadPool::ThreadPool(int threads, int spin_us)
    : shares_(static_cast<size_t>(std::max(threads, 1))),
      spin_us_(spin_us),
      forks_(count_forks()),
      bed_(std::make_unique<Bed>()) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  if (workers_are_gone()) {
    [[maybe_unused]] const Bed* left_alone = bed_.release();
    for (std::thread& worker : workers_) worker.detach();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(bed_->mutex);
    stop_ = true;
    generation_.fetch_add(1);
  }
  bed_->wake.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::workers_are_gone() const { return count_forks() != forks_; }

void ThreadPool::parallel_for(int64_t count, int64_t grain, Body body, const void* context) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain || workers_are_gone()) {
    body(context, 0, count);
    return;
  }
  body_ = body;
  context_ = context;
  count_ = count;
  grain_ = std::max<int64_t>(grain, 1);
  const int64_t chunks = (count + grain_ - 1) / grain_;
  const int64_t threads = static_cast<int64_t>(shares_.size());
  for (int64_t i = 0; i < threads; ++i) {
    Share& share = shares_[static_cast<size_t>(i)];
    share.next.store(chunks * i / threads, std::memory_order_relaxed);
    share.end = chunks * (i + 1) / threads;
  }
  open_.store(true);
  generation_.fetch_add(1);
  if (sleepers_.load() > 0) {
    // The empty critical section orders this wake-up after a worker's last look at generation_.
    {
      std::lock_guard<std::mutex> lock(bed_->mutex);
    }
    bed_->wake.notify_all();
  }
  run_chunks(0);
  // A worker joins before it looks at open_; so after this store either it sees the job closed, or
  // it is counted here. Both accesses are sequentially consistent.
  open_.store(false);
  wait_for_workers();
}

void ThreadPool::wait_for_workers() {
  // A worker that was preempted in the middle of its last chunk needs this core more than we do.
  constexpr int kSpinsBeforeYield = 1000;
  for (int spins = 0; joined_.load() != 0; ++spins) {
    if (spins < kSpinsBeforeYield) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::run_chunks(int thread) {
  const size_t threads = shares_.size();
  for (size_t i = 0; i < threads; ++i) {
    Share& share = shares_[(static_cast<size_t>(thread) + i) % threads];
    while (true) {
      const int64_t chunk = share.next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= share.end) break;
      body_(context_, chunk * grain_, std::min((chunk + 1) * grain_, count_));
    }
  }
}

bool ThreadPool::wait_for_job(uint64_t seen) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(spin_us_);
  for (int spins = 1; generation_.load(std::memory_order_acquire) == seen; ++spins) {
    pause_cpu();
    // The clock is read rarely: one pause takes from 3 to 500 ns depending on the processor.
    if (spins % 32 != 0 || std::chrono::steady_clock::now() < deadline) continue;
    std::unique_lock<std::mutex> lock(bed_->mutex);
    sleepers_.fetch_add(1);
    bed_->wake.wait(lock, [&] { return generation_.load() != seen; });
    sleepers_.fetch_sub(1);
  }
  return !stop_.load();
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  while (wait_for_job(seen)) {
    seen = generation_.load();
    joined_.fetch_add(1);
    if (open_.load()) run_chunks(thread);
    joined_.fetch_sub(1);
  }
}

}  // namespace aio
