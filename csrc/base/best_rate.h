// SPDX-License-Identifier: Apache-2.0
//
// The fastest rate at which threads do something together, for measurements of what a machine can
// do.
#ifndef AIO_CSRC_BASE_BEST_RATE_H_
#define AIO_CSRC_BASE_BEST_RATE_H_

#include <cstdint>
#include <functional>

namespace aio {

// Does one stretch of work as thread number `thread` and returns how much it was.
using Stretch = std::function<int64_t(int thread)>;

// Lets `threads` threads, the caller among them, repeat `stretch` for `duration_ms` and at least
// `min_stretches` times each; returns work per second, each thread's fastest stretch added up. A
// thread that is done goes on until all are, so that none is measured with the machine to itself.
double best_rate(int threads, double duration_ms, int min_stretches, const Stretch& stretch);

}  // namespace aio

#endif  // AIO_CSRC_BASE_BEST_RATE_H_
