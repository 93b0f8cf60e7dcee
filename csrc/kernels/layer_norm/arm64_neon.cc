// SPDX-License-Identifier: Apache-2.0
//
// Layer normalisation, fp32, neon.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/layer_norm/layer_norm.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Over the Vec16 above.
#include "csrc/kernels/layer_norm/group.inc"
}  // namespace

void layer_norm_f32_neon(const LayerNorm& work) { layer_norm(work); }

}  // namespace aio

#endif  // __aarch64__
