// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "csrc/base/check.h"
#include "csrc/kernels/read_bandwidth/read_bandwidth.h"

namespace {

using ReadFn = float (*)(const float* data, int64_t count);

// Every element counts once: small integers add up exactly in any order.
void test_reads_all_and_only_the_buffer(ReadFn read_sum, std::mt19937* generator) {
  std::uniform_int_distribution<int> value(-8, 8);
  for (const int64_t steps : {0, 1, 2, 7}) {
    const auto count = static_cast<size_t>(steps * aio::kReadStep);
    std::vector<float> data(count + 2, 1e9f);  // unaligned, and with neighbours that would show
    float expected = 0.0f;
    for (size_t i = 0; i < count; ++i) {
      data[i + 1] = static_cast<float>(value(*generator));
      expected += data[i + 1];
    }
    AIO_CHECK(read_sum(data.data() + 1, static_cast<int64_t>(count)) == expected);
  }
}

void test_a_measurement_is_a_rate(aio::Isa isa) {
  const std::vector<float> data(4 * aio::kReadStep + 5, 1.0f);
  const auto count = static_cast<int64_t>(data.size());
  for (const int threads : {1, 2, 4}) {
    const double rate = aio::measure_read_bandwidth(isa, data.data(), count, 0.1, threads);
    AIO_CHECK(std::isfinite(rate) && rate > 0.0);
  }
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  const aio::IsaMask available = aio::detect_isa();
#define AIO_READ_BANDWIDTH(isa, suffix)                                         \
  if (aio::contains(available, aio::isa)) {                                     \
    test_reads_all_and_only_the_buffer(aio::read_sum_f32_##suffix, &generator); \
    test_a_measurement_is_a_rate(aio::isa);                                     \
  }
#include "csrc/kernels/read_bandwidth/read_bandwidth.inc"
#undef AIO_READ_BANDWIDTH
  return aio::finish_checks();
}
