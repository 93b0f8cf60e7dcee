// SPDX-License-Identifier: Apache-2.0
//
// The memory limit that networks are measured against: how fast vectors come in from a buffer of a
// given size, wherever the machine keeps so many bytes.
#ifndef AIO_CSRC_KERNELS_READ_BANDWIDTH_READ_BANDWIDTH_H_
#define AIO_CSRC_KERNELS_READ_BANDWIDTH_READ_BANDWIDTH_H_

#include <cstdint>

#include "csrc/base/isa.h"

namespace aio {

// Floats that a thread reads at least: its share of a buffer is a multiple of them.
constexpr int64_t kReadStep = 128;

// Fastest rate, in GB/s (10^9 bytes), seen in at least two passes over `data` and within
// `duration_ms`. Each of the threads reads its own part again and again, as each would read its
// share of a network's weights. `isa` must be one that detect_isa() reports, and `count` at least
// threads * kReadStep floats; what is left over after equal parts of whole steps is not read.
double measure_read_bandwidth(Isa isa, const float* data, int64_t count, double duration_ms,
                              int threads);

// Returns the sum of `count` floats, a multiple of kReadStep, in an order of its own.
#define AIO_READ_BANDWIDTH(isa, suffix) \
  float read_sum_f32_##suffix(const float* data, int64_t count);
#include "csrc/kernels/read_bandwidth/read_bandwidth.inc"
#undef AIO_READ_BANDWIDTH

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_READ_BANDWIDTH_READ_BANDWIDTH_H_
