// SPDX-License-Identifier: Apache-2.0
//
// Messages of a gRPC call out of the pieces in which they arrive. On the wire a message is a byte
// that tells whether it is compressed, its length in four bytes, big-endian, and its bytes
// (gRPC over HTTP/2, "Length-Prefixed-Message").
#ifndef AIO_CSRC_GRPC_MESSAGE_H_
#define AIO_CSRC_GRPC_MESSAGE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace aio::grpc {

constexpr size_t kPrefixBytes = 5;

// Bytes that end on a cache line. Protobuf puts raw tensors last, so the floats of the last one are
// aligned whatever comes before them, and need not be copied.
class Message {
 public:
  Message() = default;
  // The bytes are not set. Without memory for them `data()` is null.
  Message(size_t size, bool compressed);

  uint8_t* data() const { return begin_; }
  size_t size() const { return size_; }
  bool compressed() const { return compressed_; }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  uint8_t* begin_ = nullptr;
  size_t size_ = 0;
  bool compressed_ = false;
};

// Takes the bytes of one call and gives its messages.
class MessageReader {
 public:
  explicit MessageReader(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Takes bytes from the front of [data, data + size), which both are moved, up to the end of a
  // message. Returns the message if its last byte was among them. Takes nothing more once
  // `refused()`.
  std::optional<Message> take(const uint8_t** data, size_t* size);

  // The length of a message that is over the limit, or for which there is no memory.
  std::optional<size_t> refused() const { return refused_; }
  // Bytes of the message that is not complete yet.
  size_t held() const { return filled_; }
  bool between_messages() const { return prefix_bytes_ == 0; }

 private:
  bool take_prefix(const uint8_t** data, size_t* size);

  size_t max_bytes_;
  std::array<uint8_t, kPrefixBytes> prefix_{};
  size_t prefix_bytes_ = 0;
  Message message_;
  size_t filled_ = 0;
  std::optional<size_t> refused_;
};

}  // namespace aio::grpc

#endif  // AIO_CSRC_GRPC_MESSAGE_H_
