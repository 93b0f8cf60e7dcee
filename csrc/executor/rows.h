// SPDX-License-Identifier: Apache-2.0
//
// How steps that make their output row by row share the rows out to threads.
#ifndef AIO_CSRC_EXECUTOR_ROWS_H_
#define AIO_CSRC_EXECUTOR_ROWS_H_

#include <cstdint>

#include "csrc/executor/step.h"

namespace aio {

// Below this many values a copy, a sum or an activation is faster on one thread than the hand-over
// takes.
constexpr int64_t kMinParallelValues = 64 * 1024;

// Calls row(y) for every row of the output; on several threads where it has enough values.
template <typename Row>
void run_rows(const RunContext& context, const Shape& out, int64_t rows, const Row& row,
              int64_t min_parallel_values = kMinParallelValues) {
  context.pool->parallel_for(
      rows, out.size() < min_parallel_values ? rows : 1,
      [](const void* data, int64_t begin, int64_t end) {
        const Row& work = *static_cast<const Row*>(data);
        for (int64_t y = begin; y < end; ++y) work(y);
      },
      &row);
}

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_ROWS_H_
