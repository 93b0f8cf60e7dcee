// SPDX-License-Identifier: Apache-2.0
//
// Softmax, fp32, neon.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/softmax/softmax.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Over the Vec16 above.
#include "csrc/kernels/softmax/row.inc"
}  // namespace

void softmax_f32_neon(const SoftmaxRow& row) { softmax(row); }

}  // namespace aio

#endif  // __aarch64__
