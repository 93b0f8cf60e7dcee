// SPDX-License-Identifier: Apache-2.0
//
// Concatenations that copy nothing: the values to be joined are made in the buffer of the joined
// value. In a dense block each concatenation begins with the one before it, so all of them are
// views of the last.
#ifndef AIO_CSRC_EXECUTOR_CONCAT_PLAN_H_
#define AIO_CSRC_EXECUTOR_CONCAT_PLAN_H_

#include "csrc/executor/graph.h"
#include "csrc/executor/planner.h"

namespace aio {

// Sets plan->ranges, and takes from the concat steps the inputs that need no copy, and the steps
// that have none left. A value is made in place where it begins with a block of channels and fills
// its blocks, as kernels write whole ones, or is the last of all; graph inputs are copied.
void join_in_place(const Graph& graph, Plan* plan);

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_CONCAT_PLAN_H_
