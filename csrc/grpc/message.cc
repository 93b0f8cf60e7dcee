// SPDX-License-Identifier: Apache-2.0
#include "csrc/grpc/message.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace aio::grpc {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

Message::Message(size_t size, bool compressed)
    : memory_(new (std::nothrow) uint8_t[size + kAlignment]), size_(size), compressed_(compressed) {
  if (memory_ == nullptr) return;
  const size_t past = (reinterpret_cast<uintptr_t>(memory_.get()) + size) % kAlignment;
  begin_ = memory_.get() + (kAlignment - past);
}

std::optional<Message> MessageReader::take(const uint8_t** data, size_t* size) {
  if (refused_.has_value() || !take_prefix(data, size)) return std::nullopt;
  const size_t piece = std::min(*size, message_.size() - filled_);
  if (piece > 0) std::memcpy(message_.data() + filled_, *data, piece);
  filled_ += piece;
  *data += piece;
  *size -= piece;
  if (filled_ < message_.size()) return std::nullopt;
  prefix_bytes_ = 0;
  filled_ = 0;
  return std::exchange(message_, Message());
}

// Returns whether the prefix is complete, and the memory for its message there.
bool MessageReader::take_prefix(const uint8_t** data, size_t* size) {
  if (prefix_bytes_ == kPrefixBytes) return true;
  const size_t piece = std::min(*size, kPrefixBytes - prefix_bytes_);
  if (piece > 0) std::memcpy(prefix_.data() + prefix_bytes_, *data, piece);
  prefix_bytes_ += piece;
  *data += piece;
  *size -= piece;
  if (prefix_bytes_ < kPrefixBytes) return false;
  const size_t length = static_cast<size_t>(prefix_[1]) << 24 |
                        static_cast<size_t>(prefix_[2]) << 16 |
                        static_cast<size_t>(prefix_[3]) << 8 | static_cast<size_t>(prefix_[4]);
  if (length <= max_bytes_) message_ = Message(length, prefix_[0] != 0);
  if (message_.data() != nullptr) return true;
  refused_ = length;
  return false;
}

}  // namespace aio::grpc
