// SPDX-License-Identifier: Apache-2.0
//
// Bilinear interpolation, fp32, scalar.

#include "csrc/kernels/activation.h"
#include "csrc/kernels/upsample/upsample.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/upsample/row.inc"
}  // namespace

void upsample_f32_scalar(const UpsampleRow& row) { upsample(row); }

}  // namespace aio
