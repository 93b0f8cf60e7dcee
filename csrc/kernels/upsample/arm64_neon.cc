// SPDX-License-Identifier: Apache-2.0
//
// Bilinear interpolation, fp32, neon.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/upsample/upsample.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Over the Vec16 above.
#include "csrc/kernels/upsample/row.inc"
}  // namespace

void upsample_f32_neon(const UpsampleRow& row) { upsample(row); }

}  // namespace aio

#endif  // __aarch64__
