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

// How kernels read an offset: four bytes whatever its width, of which the mask keeps its own.
struct OffsetFormat {
  ptrdiff_t bytes = 4;
  uint32_t mask = 0xFFFFFFFF;

  // For offsets from 0 to `largest`.
  static OffsetFormat for_largest(int32_t largest) {
    return largest <= 0xFFFF ? OffsetFormat{2, 0xFFFF} : OffsetFormat{};
  }
};

class PackedOffsets {
 public:
  PackedOffsets() = default;
  PackedOffsets(size_t size, OffsetFormat format)
      : format_(format), size_(size), bytes_(size * width() + kSlack) {}

  size_t size() const { return size_; }
  OffsetFormat format() const { return format_; }
  size_t bytes() const { return bytes_.size(); }
  const char* at(int64_t index) const { return bytes_.data() + index * format_.bytes; }

  int32_t operator[](size_t index) const {
    uint32_t value;
    std::memcpy(&value, at(static_cast<int64_t>(index)), sizeof(value));
    return static_cast<int32_t>(value & format_.mask);
  }
  std::vector<int32_t> to_vector() const {
    std::vector<int32_t> offsets;
    offsets.reserve(size_);
    for (size_t i = 0; i < size_; ++i) offsets.push_back((*this)[i]);
    return offsets;
  }
  void set(size_t index, int32_t offset) {
    std::memcpy(bytes_.data() + index * width(), &offset, width());  // little-endian
  }

 private:
  static constexpr size_t kSlack = 2;  // to read four bytes of the last one

  size_t width() const { return static_cast<size_t>(format_.bytes); }

  OffsetFormat format_;
  size_t size_ = 0;
  std::vector<char> bytes_;
};

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_PACKED_OFFSETS_H_
