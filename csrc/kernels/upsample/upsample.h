// SPDX-License-Identifier: Apache-2.0
//
// Bilinear interpolation of rows of pixels over NHWC. The vector ISAs are bit-equal.
#ifndef AIO_CSRC_KERNELS_UPSAMPLE_UPSAMPLE_H_
#define AIO_CSRC_KERNELS_UPSAMPLE_UPSAMPLE_H_

#include <cstddef>
#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"

namespace aio {

// Between which two input pixels (or rows) an output pixel lies.
struct UpsampleTap {
  int32_t first;   // index
  int32_t second;  // first + 1, or first at the edge
  float weight;    // of the second; the first has 1 - weight
};

struct UpsampleRow {
  const float* top;     // the two input rows
  const float* bottom;  //
  float weight;         // of the bottom one
  ptrdiff_t in_col;     // floats between pixels
  float* out;
  ptrdiff_t out_col;
  const UpsampleTap* taps;  // one per output pixel
  int pixels;
  int channels;  // a multiple of 16
};

// out = (1 - row.weight) ((1 - w) top(first) + w top(second)) + row.weight (the same of bottom)
using UpsampleFn = void (*)(const UpsampleRow& row);

struct UpsampleKernel {
  const char* name;  // upsample_f32_<isa>
  Isa isa;
  UpsampleFn fn;
};

const UpsampleKernel* select_upsample(Isa isa);

#define AIO_UPSAMPLE(isa, suffix) void upsample_f32_##suffix(const UpsampleRow& row);
#include "csrc/kernels/upsample/upsample.inc"
#undef AIO_UPSAMPLE

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_UPSAMPLE_UPSAMPLE_H_
