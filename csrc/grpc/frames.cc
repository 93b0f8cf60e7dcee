// SPDX-License-Identifier: Apache-2.0
#include "csrc/grpc/frames.h"

#include <algorithm>

namespace aio::grpc {

void Frames::pass(const uint8_t* data, size_t size) {
  while (size > 0) {
    if (left_ > 0) {
      const size_t piece = std::min(left_, size);
      left_ -= piece;
      data += piece;
      size -= piece;
    } else {
      if (!begun_) ++number_;
      begun_ = true;
      head_[head_bytes_++] = *data++;
      --size;
      if (head_bytes_ < kFrameHeadBytes) continue;
      take_head();
    }
    if (left_ == 0) begun_ = more_frames_;
  }
}

void Frames::take_head() {
  head_bytes_ = 0;
  left_ = static_cast<size_t>(head_[0]) << 16 | static_cast<size_t>(head_[1]) << 8 | head_[2];
  const bool is_of_block = head_[3] == NGHTTP2_HEADERS || head_[3] == NGHTTP2_CONTINUATION;
  more_frames_ = is_of_block && (head_[4] & NGHTTP2_FLAG_END_HEADERS) == 0;
}

}  // namespace aio::grpc
