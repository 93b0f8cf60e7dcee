// SPDX-License-Identifier: Apache-2.0
//
// The oracle of activations, for tests only: in double precision, sharing no code with kernels.
#ifndef AIO_CSRC_KERNELS_ACTIVATION_REFERENCE_H_
#define AIO_CSRC_KERNELS_ACTIVATION_REFERENCE_H_

#include <algorithm>
#include <cmath>

#include "csrc/kernels/activation.h"

namespace aio::reference {

inline double activate(double x, Activation activation, double slope = 0.0) {
  const double gate = std::min(std::max(x + 3.0, 0.0), 6.0) / 6.0;
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kRelu6:
      return std::min(std::max(x, 0.0), 6.0);
    case Activation::kHardswish:
      return x * gate;
    case Activation::kHardsigmoid:
      return gate;
    case Activation::kLeakyRelu:
      return x < 0.0 ? slope * x : x;
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kSigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh: {
      // 0.5 x (1 + tanh(u)), written so that it does not cancel for large negative x.
      const double u = std::sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
      return x / (1.0 + std::exp(-2.0 * u));
    }
  }
  return x;
}

}  // namespace aio::reference

#endif  // AIO_CSRC_KERNELS_ACTIVATION_REFERENCE_H_
