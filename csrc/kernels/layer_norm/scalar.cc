// SPDX-License-Identifier: Apache-2.0
//
// Layer normalisation, fp32, scalar.

#include "csrc/kernels/activation.h"
#include "csrc/kernels/layer_norm/layer_norm.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/layer_norm/group.inc"
}  // namespace

void layer_norm_f32_scalar(const LayerNorm& work) { layer_norm(work); }

}  // namespace aio
