// SPDX-License-Identifier: Apache-2.0
//
// Element-wise operators, fp32, neon.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/elementwise/elementwise.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Over the Vec16 above.
#include "csrc/kernels/elementwise/span.inc"
}  // namespace

void elementwise_f32_neon(const Elementwise& work) { elementwise(work); }

}  // namespace aio

#endif  // __aarch64__
