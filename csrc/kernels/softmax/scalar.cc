// SPDX-License-Identifier: Apache-2.0
//
// Softmax, fp32, scalar.

#include "csrc/kernels/activation.h"
#include "csrc/kernels/softmax/softmax.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/softmax/row.inc"
}  // namespace

void softmax_f32_scalar(const SoftmaxRow& row) { softmax(row); }

}  // namespace aio
