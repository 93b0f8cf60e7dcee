// SPDX-License-Identifier: Apache-2.0
//
// Which rows the steps of a chain make one after the other, so that those in use stay in a cache:
// bands of the last step's output, and for each what is needed of the steps before and is not there
// yet.
#ifndef AIO_CSRC_EXECUTOR_BAND_SPLIT_H_
#define AIO_CSRC_EXECUTOR_BAND_SPLIT_H_

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "csrc/executor/planner.h"

namespace aio {

// Rows [begin, end) of an image; in its padding they are below 0 or from its height on.
struct RowRange {
  int begin;
  int end;

  int count() const { return end - begin; }
};

struct ChainLink {
  Window2d window;
  BufferLayout out;
};

class BandSplit {
 public:
  // By link.
  using Ranges = std::array<RowRange, kMaxChain>;

  // Divides the image in parts to be made independently, and each in bands as high as leave all
  // windows within what a cache holds. False if even the lowest ones do not, or if a buffer has no
  // place for the windows of all parts. `links` are at most kMaxChain and must outlive this.
  static bool plan(const std::vector<ChainLink>& links, int parts, BandSplit* split);

  int parts() const { return parts_; }
  // Of what the link hands on, those that are needed at once.
  int window_rows(size_t link) const { return window_rows_[link]; }

  // Calls visit(Ranges) for every band of a part: what each link has to make, padding included.
  template <typename Visit>
  void for_each_band(int part, const Visit& visit) const {
    std::array<int, kMaxChain> made;
    made.fill(std::numeric_limits<int>::min());
    const RowRange rows = part_rows(part);
    for (int row = rows.begin; row < rows.end; row += band_) {
      const Ranges missing =
          missing_rows({row, row + band_ < rows.end ? row + band_ : rows.end}, made);
      for (size_t i = 0; i < links_->size(); ++i) made[i] = missing[i].end;
      visit(missing);
    }
  }

  // Without padding.
  RowRange image_rows(size_t link, RowRange rows) const;
  // Of its input, what a link reads to make these rows.
  RowRange rows_read(size_t link, RowRange rows) const;

 private:
  RowRange part_rows(int part) const;
  Ranges missing_rows(RowRange band, const std::array<int, kMaxChain>& made) const;
  void find_windows();
  bool fits() const;

  const std::vector<ChainLink>* links_ = nullptr;
  int parts_ = 1;
  int band_ = 1;  // rows of the last output
  std::array<int, kMaxChain> window_rows_{};
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_BAND_SPLIT_H_
