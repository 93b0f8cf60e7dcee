// SPDX-License-Identifier: Apache-2.0
//
// A step that can make some rows of its output, reading no more of its input than they need.
#ifndef AIO_CSRC_EXECUTOR_ROW_STEP_H_
#define AIO_CSRC_EXECUTOR_ROW_STEP_H_

#include <cstdint>

#include "csrc/executor/band_split.h"
#include "csrc/executor/step.h"

namespace aio {

// Where pixel (0, 0) of each image would be, in floats from the arena's begin, if all of its rows
// were there.
struct Origins {
  int64_t in;
  int64_t residual;
  int64_t out;
};

class RowStep : public Step {
 public:
  RowStep* by_rows() final { return this; }

  // Whether run_rows() is how this level is made.
  virtual bool makes_rows(int level) const = 0;
  // Makes rows on the calling thread. Their halo is the caller's work.
  virtual void run_rows(float* arena, const Origins& origins, int level, RowRange rows) const = 0;
  // To be told at first: how many rows run_rows() may be asked for at once.
  virtual void prepare_rows(int count) = 0;
  // For all rows.
  virtual int64_t macs(int level) const = 0;
  // Read once for each call of run_rows().
  virtual int64_t level_bytes(int level) const = 0;
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_ROW_STEP_H_
