// SPDX-License-Identifier: Apache-2.0
//
// Zeroed storage aligned to a cache line, so that a vector load never crosses one.
#ifndef AIO_CSRC_BASE_ALIGNED_H_
#define AIO_CSRC_BASE_ALIGNED_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace aio {

constexpr size_t kCacheLineBytes = 64;
constexpr size_t kHugePageBytes = size_t{2} << 20;

template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size) : size_(size) {
    const size_t bytes = (size * sizeof(T) / kCacheLineBytes + 1) * kCacheLineBytes;
    const size_t huge = bytes / kHugePageBytes * kHugePageBytes;
    void* data = nullptr;
    if (posix_memalign(&data, huge == 0 ? kCacheLineBytes : kHugePageBytes, bytes) != 0) {
      throw std::bad_alloc();
    }
    data_.reset(static_cast<T*>(data));
    // Weights of a large layer span thousands of small pages. Of a huge page that is only begun,
    // all would be resident, so the rest is small ones. A kernel without huge pages refuses; no
    // harm done.
    if (huge > 0) (void)madvise(data, huge, MADV_HUGEPAGE);
    std::memset(data, 0, bytes);
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](size_t index) { return data_.get()[index]; }
  const T& operator[](size_t index) const { return data_.get()[index]; }

 private:
  struct Free {
    void operator()(T* pointer) const { std::free(pointer); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

}  // namespace aio

#endif  // AIO_CSRC_BASE_ALIGNED_H_
