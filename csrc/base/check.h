// SPDX-License-Identifier: Apache-2.0
//
// Checks for native tests: each test.cc is a program that ends with `return aio::finish_checks();`.
// CTest runs them. A failed check prints where and what, and the program goes on.
#ifndef AIO_CSRC_BASE_CHECK_H_
#define AIO_CSRC_BASE_CHECK_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace aio {

inline int failed_checks = 0;
inline int passed_checks = 0;

inline void check(bool ok, const char* text, const char* file, int line) {
  if (ok) {
    ++passed_checks;
    return;
  }
  ++failed_checks;
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text);
}

#define AIO_CHECK(condition) ::aio::check((condition), #condition, __FILE__, __LINE__)

inline int finish_checks() {
  std::printf("%d checks passed, %d failed\n", passed_checks, failed_checks);
  return failed_checks == 0 && passed_checks > 0 ? 0 : 1;
}

// A generator whose seed is printed; AIO_TEST_SEED repeats a run.
inline std::mt19937 make_generator() {
  const char* text = std::getenv("AIO_TEST_SEED");
  const auto seed = text != nullptr ? static_cast<uint32_t>(std::strtoul(text, nullptr, 10))
                                    : std::random_device()();
  std::printf("AIO_TEST_SEED=%u\n", seed);
  return std::mt19937(seed);
}

}  // namespace aio

#endif  // AIO_CSRC_BASE_CHECK_H_
