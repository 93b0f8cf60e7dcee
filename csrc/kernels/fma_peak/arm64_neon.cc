// SPDX-License-Identifier: Apache-2.0
//
// Multiply-add peak of one core, fp32, NEON: 6 independent chains of 16 lanes.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/fma_peak/fma_peak.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"

constexpr int kAccumulators = 6;
#include "csrc/kernels/fma_peak/chain.inc"
}  // namespace

int64_t fma_peak_f32_neon(int64_t iterations, float* sink) { return fma_chain(iterations, sink); }

}  // namespace aio

#endif  // __aarch64__
