// SPDX-License-Identifier: Apache-2.0
//
// Pooling over NHWC. One portable implementation, the same on every machine. Windows are clipped at
// the image's border, so the halo is never read.
#ifndef AIO_CSRC_KERNELS_POOL_POOL_H_
#define AIO_CSRC_KERNELS_POOL_POOL_H_

#include <cstddef>

namespace aio {

struct Pool2d {
  const float* in;  // pixel (0, 0), channel 0
  int in_height;
  int in_width;
  ptrdiff_t in_row;  // floats between rows
  ptrdiff_t in_col;  // floats between pixels
  float* out;
  int out_width;
  ptrdiff_t out_row;
  ptrdiff_t out_col;
  int channels;  // as stored, a multiple of 16
  int kernel_h;
  int kernel_w;
  int stride_h;
  int stride_w;
  int pad_top;
  int pad_left;
  int pad_bottom;
  int pad_right;
  bool count_include_pad;  // average only
};

// Makes the output rows [row_begin, row_end). A NaN in the window makes the maximum NaN, as in
// torch.
void max_pool2d(const Pool2d& pool, int row_begin, int row_end);

// Divides by the window's size within the padded image, or within the image without
// count_include_pad.
void avg_pool2d(const Pool2d& pool, int row_begin, int row_end);

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_POOL_POOL_H_
