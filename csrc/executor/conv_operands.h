// SPDX-License-Identifier: Apache-2.0
//
// What the algorithms of a convolution share: where its values lie, and its packed weights.
#ifndef AIO_CSRC_EXECUTOR_CONV_OPERANDS_H_
#define AIO_CSRC_EXECUTOR_CONV_OPERANDS_H_

#include "csrc/executor/layer_weights.h"
#include "csrc/executor/planner.h"

namespace aio {

struct ConvOperands {
  Window2d window;
  int in_channels;
  int chunk_channels;  // whose weights are packed together; 0: all
  BufferLayout in;
  BufferLayout out;
  BufferLayout residual;
  bool has_residual;
  Activation activation;
  const PackedLayer* layer;
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_CONV_OPERANDS_H_
