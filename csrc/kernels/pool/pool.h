// SPDX-License-Identifier: Apache-2.0
//
// Pooling over NHWC. Windows are clipped at the image's border, so the halo is never read. All
// instruction sets agree to the bit.
#ifndef AIO_CSRC_KERNELS_POOL_POOL_H_
#define AIO_CSRC_KERNELS_POOL_POOL_H_

#include <cstddef>

#include "csrc/base/isa.h"

namespace aio {

struct Pool2d {
  const float* in;  // pixel (0, 0), channel 0
  int in_height;
  int in_width;
  ptrdiff_t in_row;  // floats between rows
  ptrdiff_t in_col;  // floats between pixels
  float* out;
  int out_height;  // with `adaptive` only
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
  bool adaptive;  // windows follow from the sizes: rows floor(y h / H) to ceil((y + 1) h / H)
};

// Makes the output rows [row_begin, row_end).
using PoolFn = void (*)(const Pool2d& pool, int row_begin, int row_end);

struct PoolKernels {
  const char* name;  // pool2d_f32_<isa>
  Isa isa;
  PoolFn max;  // a NaN in the window makes the maximum NaN, as in torch
  PoolFn avg;  // divides by the window's size within the padded image, or within the image without
               // count_include_pad
};

const PoolKernels* select_pool(Isa isa);

#define AIO_POOL(isa, suffix)                                                   \
  void max_pool2d_f32_##suffix(const Pool2d& pool, int row_begin, int row_end); \
  void avg_pool2d_f32_##suffix(const Pool2d& pool, int row_begin, int row_end);
#include "csrc/kernels/pool/pool.inc"
#undef AIO_POOL

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_POOL_POOL_H_
