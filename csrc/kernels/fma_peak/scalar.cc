// SPDX-License-Identifier: Apache-2.0
//
// Multiply-add peak of one core, fp32, scalar: 2 independent chains of 16 lanes.
#include "csrc/kernels/activation.h"
#include "csrc/kernels/fma_peak/fma_peak.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"

constexpr int kAccumulators = 2;
#include "csrc/kernels/fma_peak/chain.inc"
}  // namespace

int64_t fma_peak_f32_scalar(int64_t iterations, float* sink) { return fma_chain(iterations, sink); }

}  // namespace aio
