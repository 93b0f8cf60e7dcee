// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/winograd/winograd.h"

namespace aio {
namespace {

constexpr WinogradKernels kKernels[] = {
#define AIO_WINOGRAD(isa, suffix)                                     \
  {"winograd_f32_4x4_" #suffix, isa, winograd_input_f32_4x4_##suffix, \
   winograd_weights_f32_4x4_##suffix, winograd_output_f32_4x4_##suffix},
#include "csrc/kernels/winograd/winograd.inc"
#undef AIO_WINOGRAD
};

}  // namespace

const WinogradKernels* select_winograd(Isa isa) {
  for (const WinogradKernels& kernels : kKernels) {
    if (kernels.isa == isa) return &kernels;
  }
  return nullptr;
}

}  // namespace aio
