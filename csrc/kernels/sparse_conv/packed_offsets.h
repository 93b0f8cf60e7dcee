// SPDX-License-Identifier: Apache-2.0
//
// Offsets of kept elements: two bytes each where all of them fit, which is nearly always, else
// four.
#ifndef AIO_CSRC_KERNELS_SPARSE_CONV_PACKED_OFFSETS_H_
#define AIO_CSRC_KERNELS_SPARSE_CONV_PACKED_OFFSETS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace aio {

enum class OffsetWidth : uint8_t { kTwoBytes, kFourBytes };

constexpr ptrdiff_t bytes_of(OffsetWidth width) { return width == OffsetWidth::kTwoBytes ? 2 : 4; }

class PackedOffsets {
 public:
  PackedOffsets() = default;
  PackedOffsets(size_t size, OffsetWidth width)
      : width_(width), size_(size), bytes_(size * static_cast<size_t>(bytes_of(width))) {}

  // For offsets from 0 to `largest`.
  static OffsetWidth width_for(int32_t largest) {
    return largest <= 0xFFFF ? OffsetWidth::kTwoBytes : OffsetWidth::kFourBytes;
  }

  size_t size() const { return size_; }
  OffsetWidth width() const { return width_; }
  size_t bytes() const { return bytes_.size(); }
  const char* at(int64_t index) const { return bytes_.data() + index * bytes_of(width_); }

  void set(size_t index, int32_t offset) {
    char* const place = bytes_.data() + static_cast<ptrdiff_t>(index) * bytes_of(width_);
    std::memcpy(place, &offset, static_cast<size_t>(bytes_of(width_)));  // little-endian
  }
  int32_t operator[](size_t index) const {
    int32_t offset = 0;
    std::memcpy(&offset, at(static_cast<int64_t>(index)), static_cast<size_t>(bytes_of(width_)));
    return offset;
  }
  std::vector<int32_t> to_vector() const {
    std::vector<int32_t> offsets;
    offsets.reserve(size_);
    for (size_t i = 0; i < size_; ++i) offsets.push_back((*this)[i]);
    return offsets;
  }

 private:
  OffsetWidth width_ = OffsetWidth::kFourBytes;
  size_t size_ = 0;
  std::vector<char> bytes_;
};

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_PACKED_OFFSETS_H_
