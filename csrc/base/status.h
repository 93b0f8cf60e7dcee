// SPDX-License-Identifier: Apache-2.0
//
// Result of an operation that can be refused. No exception crosses csrc/executor; the bindings turn
// a Status into a Python exception.
#ifndef AIO_CSRC_BASE_STATUS_H_
#define AIO_CSRC_BASE_STATUS_H_

#include <string>
#include <utility>

namespace aio {

class [[nodiscard]] Status {
 public:
  static Status ok() { return Status(); }
  static Status error(std::string message) { return Status(std::move(message)); }

  bool is_ok() const { return message_.empty(); }
  // What is wrong: the value, the limit and the remedy. Empty when is_ok().
  const std::string& message() const { return message_; }

 private:
  Status() = default;
  explicit Status(std::string message) : message_(std::move(message)) {}

  std::string message_;
};

#define AIO_RETURN_IF_ERROR(expression)           \
  do {                                            \
    ::aio::Status aio_status_ = (expression);     \
    if (!aio_status_.is_ok()) return aio_status_; \
  } while (false)

}  // namespace aio

#endif  // AIO_CSRC_BASE_STATUS_H_
