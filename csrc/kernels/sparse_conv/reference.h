// SPDX-License-Identifier: Apache-2.0
//
// The oracle of the family, for tests only: convolution and linear layers in double precision,
// straight from the dense weights and scores, sharing no code with packing or kernels.
#ifndef AIO_CSRC_KERNELS_SPARSE_CONV_REFERENCE_H_
#define AIO_CSRC_KERNELS_SPARSE_CONV_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "csrc/kernels/sparse_conv/pack.h"

namespace aio::reference {

// A value and a bound on the rounding error of computing it in float, in any order of summation.
struct Bounded {
  double value;
  double tolerance;
};

// Output channel n from the elements `x`, at `level`: scale * sum + bias. With K terms each rounded
// at most twice, the error is at most (2K + 3) u (|scale| sum |w x| + |bias|), u = 2^-24 (Higham
// 2002, section 3.1).
inline Bounded dot(const WeightView& view, int level, int n, const std::vector<double>& x,
                   double scale, double bias) {
  double sum = 0.0;
  double magnitude = 0.0;
  int terms = 0;
  for (int e = 0; e < view.elements; ++e) {
    const bool kept =
        view.score == nullptr ||
        view.score[(n / view.layout.height) * view.elements + e] > view.threshold[level];
    if (!kept) continue;
    const double product = double{view.weight[n * view.elements + e]} * x[static_cast<size_t>(e)];
    sum += product;
    magnitude += std::fabs(product);
    ++terms;
  }
  const double unit = std::ldexp(1.0, -24);
  return {scale * sum + bias,
          (2.0 * terms + 3.0) * unit * (std::fabs(scale) * magnitude + std::fabs(bias)) + 1e-30};
}

}  // namespace aio::reference

#endif  // AIO_CSRC_KERNELS_SPARSE_CONV_REFERENCE_H_
