// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic limit that kernels are measured against: fp32 multiply-adds from registers only.
#ifndef AIO_CSRC_KERNELS_FMA_PEAK_FMA_PEAK_H_
#define AIO_CSRC_KERNELS_FMA_PEAK_FMA_PEAK_H_

#include <cstdint>

#include "csrc/base/isa.h"

namespace aio {

// Fastest rate, in GFLOP/s (a multiply-add counts two), seen in stretches of about 100 us within
// `duration_ms`, the threads added up. `isa` must be one that detect_isa() reports.
double measure_fma_peak(Isa isa, double duration_ms, int threads);

// Runs the chains; `sink` holds 48 floats: multiplier, addend and result. Returns the FLOPs done.
#define AIO_FMA_PEAK(isa, suffix) int64_t fma_peak_f32_##suffix(int64_t iterations, float* sink);
#include "csrc/kernels/fma_peak/fma_peak.inc"
#undef AIO_FMA_PEAK

}  // namespace aio

#endif  // AIO_CSRC_KERNELS_FMA_PEAK_FMA_PEAK_H_
