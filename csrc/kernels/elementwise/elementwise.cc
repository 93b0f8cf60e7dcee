// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/elementwise/elementwise.h"

#include <algorithm>

#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
namespace {
#include "csrc/kernels/vec16/scalar.inc"
}  // namespace

void add_activate(const float* a, const float* b, float* out, int64_t count,
                  Activation activation) {
  for (int64_t i = 0; i < count; i += kBlockHeight) {
    const int64_t n = std::min<int64_t>(kBlockHeight, count - i);
    Vec16 x[1] = {zero16()};
    std::copy(a + i, a + i + n, x[0].v);
    if (b != nullptr) {
      for (int64_t j = 0; j < n; ++j) x[0].v[j] += b[i + j];
    }
    activate16(x, activation);
    std::copy(x[0].v, x[0].v + n, out + i);
  }
}

}  // namespace aio
