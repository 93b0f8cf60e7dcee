// SPDX-License-Identifier: Apache-2.0
//
// Element-wise operators, fp32, scalar.

#include "csrc/kernels/elementwise/elementwise.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/elementwise/span.inc"
}  // namespace

void elementwise_f32_scalar(const Elementwise& work) { elementwise(work); }

}  // namespace aio
