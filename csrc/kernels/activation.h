// SPDX-License-Identifier: Apache-2.0
//
// Element-wise activations that kernels apply in their epilogue.
#ifndef AIO_CSRC_KERNELS_ACTIVATION_H_
#define AIO_CSRC_KERNELS_ACTIVATION_H_

namespace aio {

enum class Activation {
  kNone,
  kRelu,
  kRelu6,
  kHardswish,
  kHardsigmoid,
  kLeakyRelu,  // takes a slope, so only kernels with a place for it apply it
  kSilu,
  kSigmoid,
  kTanh,
  kGelu,
  kGeluTanh,
};

// hardswish(x) = x * relu6(x + 3) / 6; every ISA multiplies by this constant, so they agree to the
// bit.
constexpr float kOneSixth = 1.0f / 6.0f;

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_ACTIVATION_H_
