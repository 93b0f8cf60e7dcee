// SPDX-License-Identifier: Apache-2.0
//
// Transforms of Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, section 4.1): a 3x3
// convolution of stride 1 takes 36 multiplications for 16 output pixels instead of 144.
//
// The interpolation points are 0, +-3/4, +-3/2 and infinity instead of the usual 0, +-1, +-2 and
// infinity: all constants of the input and output transforms are exact in float, and the error
// measured over 256 channels fell from 8 to 2 times that of direct summation (how points matter:
// Barabasz et al. 2020, "Error analysis and improving the accuracy of Winograd convolution").
#ifndef AIO_CSRC_KERNELS_WINOGRAD_WINOGRAD_H_
#define AIO_CSRC_KERNELS_WINOGRAD_WINOGRAD_H_

#include <cstddef>
#include <cstdint>

#include "csrc/base/isa.h"
#include "csrc/kernels/activation.h"
#include "csrc/kernels/sparse_conv/pack.h"

namespace aio {

constexpr int kWinogradTile = 4;     // output pixels per side of a tile
constexpr int kWinogradPatch = 6;    // input pixels per side of a tile
constexpr int kWinogradPoints = 36;  // products per tile and channel
constexpr int kWinogradTaps = 9;

// V = B^T d B: the patch of one tile for 16 channels. Strides count floats.
struct WinogradInput {
  const float* in;  // the patch's first pixel, first of the 16 channels
  ptrdiff_t in_row;
  ptrdiff_t in_col;
  int rows;  // of the patch that may be read; the rest counts as zero
  int cols;
  float* out;  // 16 values per point
  ptrdiff_t out_point;
};

// U = G g G^T: the kernels of some input channels for one block of 16 output channels, straight
// from the packed form, at any level.
struct WinogradWeights {
  const float* values;     // the block's kept elements x 16
  const uint16_t* places;  // channels x 9: which kept element a tap is, or kNotKept
  int32_t nnz;             // elements kept at this level: places from here on count as zero
  int channels;
  float* out;  // channels x 16 values per point
  ptrdiff_t out_point;
};

// Y = A^T m A, then act(scale * Y + bias [+ residual]), for one tile and 16 output channels.
struct WinogradOutput {
  const float* in;  // 16 sums per point
  ptrdiff_t in_point;
  const float* scale;     // 16
  const float* bias;      // 16
  const float* residual;  // added before the activation; null for none
  ptrdiff_t residual_row;
  ptrdiff_t residual_col;
  float* out;  // the tile's first pixel
  ptrdiff_t out_row;
  ptrdiff_t out_col;
  int rows;  // of the tile that lie in the image
  int cols;
  Activation activation;
};

// The transforms of one instruction set. The vector ISAs agree to the bit.
struct WinogradKernels {
  const char* name;  // winograd_f32_4x4_<isa>
  Isa isa;
  void (*input)(const WinogradInput&);
  void (*weights)(const WinogradWeights&);
  void (*output)(const WinogradOutput&);
};

const WinogradKernels* select_winograd(Isa isa);

#define AIO_WINOGRAD(isa, suffix)                                       \
  void winograd_input_f32_4x4_##suffix(const WinogradInput& patch);     \
  void winograd_weights_f32_4x4_##suffix(const WinogradWeights& block); \
  void winograd_output_f32_4x4_##suffix(const WinogradOutput& tile);
#include "csrc/kernels/winograd/winograd.inc"
#undef AIO_WINOGRAD

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_WINOGRAD_WINOGRAD_H_
