// SPDX-License-Identifier: Apache-2.0
//
// Addition and activations that could not be fused into a convolution. One portable implementation:
// these are bound by memory, and compilers turn the loops over 16 channels into vectors. The same
// on every machine.
#ifndef AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
#define AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_

#include <cstdint>

#include "csrc/kernels/activation.h"

namespace aio {

// out = act(a [+ b]) over `count` floats; b may be null. out may be a or b.
void add_activate(const float* a, const float* b, float* out, int64_t count, Activation activation);

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
