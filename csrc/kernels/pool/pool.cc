// SPDX-License-Identifier: Apache-2.0
#include "csrc/kernels/pool/pool.h"

namespace aio {
namespace {

constexpr PoolKernels kKernels[] = {
#define AIO_POOL(isa, suffix) \
  {"pool2d_f32_" #suffix, isa, max_pool2d_f32_##suffix, avg_pool2d_f32_##suffix},
#include "csrc/kernels/pool/pool.inc"
#undef AIO_POOL
};

}  // namespace

const PoolKernels* select_pool(Isa isa) {
  for (const PoolKernels& kernels : kKernels) {
    if (kernels.isa == isa) return &kernels;
  }
  return nullptr;
}

}  // namespace aio
