// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/cpu_clock.h"

#include "csrc/base/check.h"

int main() {
  for (int i = 0; i < 10; ++i) {
    const double khz = aio::measure_cpu_khz();
    // Wide enough for qemu and sanitizers; a unit error would be off by a thousand.
    AIO_CHECK(khz > 1e4 && khz < 2e7);
  }
  return aio::finish_checks();
}
