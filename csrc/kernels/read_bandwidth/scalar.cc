// SPDX-License-Identifier: Apache-2.0
//
// Reads a buffer of floats, scalar.
#include "csrc/kernels/activation.h"
#include "csrc/kernels/read_bandwidth/read_bandwidth.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"

constexpr int kChains = 1;
#include "csrc/kernels/read_bandwidth/sum.inc"
}  // namespace

float read_sum_f32_scalar(const float* data, int64_t count) { return read_sum(data, count); }

}  // namespace aio
