// SPDX-License-Identifier: Apache-2.0
//
// Read-only floats that stay where their maker has them. Whoever holds one keeps them alive, so a
// graph needs no copy of a network's weights, and they go with the last holder.
#ifndef AIO_CSRC_EXECUTOR_FLOATS_H_
#define AIO_CSRC_EXECUTOR_FLOATS_H_

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace aio {

class Floats {
 public:
  Floats() = default;
  // While `owner` lives, data[0, size) is valid and does not change.
  Floats(std::shared_ptr<const void> owner, const float* data, size_t size)
      : owner_(std::move(owner)), data_(data), size_(size) {}
  // Implicit: a vector that is moved in is its own owner.
  Floats(std::vector<float> values) {
    auto owner = std::make_shared<const std::vector<float>>(std::move(values));
    data_ = owner->data();
    size_ = owner->size();
    owner_ = std::move(owner);
  }
  Floats(std::initializer_list<float> values) : Floats(std::vector<float>(values)) {}

  const float* data() const { return data_; }
  const float* begin() const { return data_; }
  const float* end() const { return data_ + size_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  std::shared_ptr<const void> owner_;
  const float* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_FLOATS_H_
