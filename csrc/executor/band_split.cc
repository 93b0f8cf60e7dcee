// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/band_split.h"

#include <algorithm>

namespace aio {
namespace {

// What the windows of a chain may take of the L2 cache together; the smallest ones of current cores
// are 512 KiB.
constexpr int64_t kWindowBytes = 384 * 1024;

}  // namespace

bool BandSplit::plan(const std::vector<ChainLink>& links, int parts, BandSplit* split) {
  bool found = false;
  for (int band = 1; band <= links.back().out.height; ++band) {
    BandSplit tried;
    tried.links_ = &links;
    tried.parts_ = parts;
    tried.band_ = band;
    tried.find_windows();
    if (!tried.fits()) break;
    *split = tried;
    found = true;
  }
  return found;
}

void BandSplit::find_windows() {
  for (int part = 0; part < parts_; ++part) {
    for_each_band(part, [&](const Ranges& missing) {
      for (size_t i = 0; i + 1 < links_->size(); ++i) {
        window_rows_[i] = std::max(window_rows_[i], rows_read(i + 1, missing[i + 1]).count());
      }
    });
  }
}

bool BandSplit::fits() const {
  int64_t floats = 0;
  for (size_t i = 0; i + 1 < links_->size(); ++i) {
    const BufferLayout& buffer = (*links_)[i].out;
    const int64_t window = window_rows_[i] * buffer.row();
    if (parts_ * window > buffer.size) return false;
    floats += window;
  }
  return floats * int64_t{sizeof(float)} <= kWindowBytes;
}

RowRange BandSplit::part_rows(int part) const {
  const int height = links_->back().out.height;
  const int bands = (height + band_ - 1) / band_;
  const auto at = [&](int i) { return std::min(bands * i / parts_ * band_, height); };
  return {at(part), at(part + 1)};
}

BandSplit::Ranges BandSplit::missing_rows(RowRange band,
                                          const std::array<int, kMaxChain>& made) const {
  Ranges missing{};
  missing[links_->size() - 1] = band;
  for (size_t i = links_->size() - 1; i > 0; --i) {
    const RowRange read = rows_read(i, missing[i]);
    const int begin = std::max(read.begin, made[i - 1]);
    missing[i - 1] = {begin, std::max(begin, read.end)};
    if (read.count() == 0) missing[i - 1] = {made[i - 1], made[i - 1]};
  }
  return missing;
}

RowRange BandSplit::image_rows(size_t link, RowRange rows) const {
  const int begin = std::max(rows.begin, 0);
  return {begin, std::max(begin, std::min(rows.end, (*links_)[link].out.height))};
}

RowRange BandSplit::rows_read(size_t link, RowRange rows) const {
  const Window2d& w = (*links_)[link].window;
  const RowRange made = image_rows(link, rows);
  if (made.count() == 0) return {0, 0};
  return {made.begin * w.stride_h - w.pad_top,
          (made.end - 1) * w.stride_h - w.pad_top + (w.kernel_h - 1) * w.dilation_h + 1};
}

}  // namespace aio
