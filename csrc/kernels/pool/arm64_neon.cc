// SPDX-License-Identifier: Apache-2.0
//
// Pooling, fp32, neon.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "csrc/kernels/activation.h"
#include "csrc/kernels/pool/pool.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/neon.inc"
// Over the Vec16 above.
#include "csrc/kernels/pool/rows.inc"
}  // namespace

void max_pool2d_f32_neon(const Pool2d& pool, int row_begin, int row_end) {
  max_pool(pool, row_begin, row_end);
}
void avg_pool2d_f32_neon(const Pool2d& pool, int row_begin, int row_end) {
  avg_pool(pool, row_begin, row_end);
}

}  // namespace aio

#endif  // __aarch64__
