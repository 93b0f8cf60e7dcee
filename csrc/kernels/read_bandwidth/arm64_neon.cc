// SPDX-License-Identifier: Apache-2.0
//
// Reads a buffer of floats, NEON.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/read_bandwidth/read_bandwidth.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"

constexpr int kChains = 4;
#include "csrc/kernels/read_bandwidth/sum.inc"
}  // namespace

float read_sum_f32_neon(const float* data, int64_t count) { return read_sum(data, count); }

}  // namespace aio

#endif  // __aarch64__
