// SPDX-License-Identifier: Apache-2.0
//
// What building a graph refuses, and how it says so.
#ifndef AIO_CSRC_EXECUTOR_GRAPH_CHECKS_H_
#define AIO_CSRC_EXECUTOR_GRAPH_CHECKS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "csrc/base/status.h"

namespace aio {

constexpr int kMaxLevels = 256;
constexpr int kMaxChannels = 1 << 16;
constexpr int kMaxFeatures = 1 << 24;  // of a flat value
constexpr int kMaxSide = 1 << 14;
constexpr int64_t kMaxActivationFloats = int64_t{1} << 28;  // 1 GiB per value
constexpr int64_t kMaxPackedFloats = int64_t{1} << 28;      // 1 GiB per grouped layer

inline Status refuse(const std::string& name, const std::string& what) {
  return Status::error("node '" + name + "': " + what);
}

inline std::string number(int64_t value) { return std::to_string(value); }

inline Status check_range(const std::string& name, const char* what, int value, int low, int high) {
  if (value >= low && value <= high) return Status::ok();
  return refuse(name, std::string(what) + " " + number(value) + " is outside [" + number(low) +
                          ", " + number(high) + "]");
}

inline Status check_size(const std::string& name, const char* what, size_t size, int64_t expected) {
  if (static_cast<int64_t>(size) == expected) return Status::ok();
  return refuse(name, std::string(what) + " has " + std::to_string(size) + " values, expected " +
                          number(expected));
}

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_GRAPH_CHECKS_H_
