// SPDX-License-Identifier: Apache-2.0
//
// Pooling, fp32, scalar.

#include "csrc/kernels/activation.h"
#include "csrc/kernels/pool/pool.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
// Over the Vec16 above.
#include "csrc/kernels/pool/rows.inc"
}  // namespace

void max_pool2d_f32_scalar(const Pool2d& pool, int row_begin, int row_end) {
  max_pool(pool, row_begin, row_end);
}
void avg_pool2d_f32_scalar(const Pool2d& pool, int row_begin, int row_end) {
  avg_pool(pool, row_begin, row_end);
}

}  // namespace aio
