// SPDX-License-Identifier: Apache-2.0
//
// Between images as callers have them, one plane per channel (NCHW), and as steps do, pixel by
// pixel with all channels (NHWC).
#ifndef AIO_CSRC_EXECUTOR_PLANES_H_
#define AIO_CSRC_EXECUTOR_PLANES_H_

#include "csrc/executor/graph.h"
#include "csrc/executor/step.h"

namespace aio {

// Copies a sample of this shape into the buffer; halo and channels that only fill one up get zero.
void load_planes(const RunContext& context, const float* planes, const Shape& shape,
                 const BufferLayout& buffer);

// Copies the buffer's image of this shape out.
void store_planes(const float* arena, const BufferLayout& buffer, const Shape& shape,
                  float* planes);

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_PLANES_H_
