// SPDX-License-Identifier: Apache-2.0
//
// Where the frames of a connection begin and end, whatever is in them. nghttp2 does not say whether
// it waits for the rest of one, which decides how long a silent client is waited for.
#ifndef AIO_CSRC_GRPC_FRAMES_H_
#define AIO_CSRC_GRPC_FRAMES_H_

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace aio::grpc {

constexpr size_t kFrameHeadBytes = 9;

class Frames {
 public:
  // Looks at the bytes that a client sent next.
  void pass(const uint8_t* data, size_t size);
  // The number, from 1, of the frame of which only a part came; 0 if there is none. All frames of a
  // block of headers count as one, and so do the client's preface and its first frame.
  uint64_t unfinished() const { return begun_ ? number_ : 0; }

 private:
  void take_head();

  size_t left_ = NGHTTP2_CLIENT_MAGIC_LEN;  // of the preface, then of a payload
  bool begun_ = true;                       // a frame, and not all of it came
  bool more_frames_ = true;                 // belong to this one
  uint64_t number_ = 1;
  std::array<uint8_t, kFrameHeadBytes> head_{};
  size_t head_bytes_ = 0;
};

}  // namespace aio::grpc

#endif  // AIO_CSRC_GRPC_FRAMES_H_
