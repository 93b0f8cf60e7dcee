// SPDX-License-Identifier: Apache-2.0
//
// Instruction sets the kernels are written for. A flag names what is used together: `avx2_fma3` is
// AVX2 and FMA3, `avx512` is F, BW, VL and DQ, `neon` is the baseline of aarch64. Every machine
// runs `scalar`.
#ifndef AIO_CSRC_BASE_ISA_H_
#define AIO_CSRC_BASE_ISA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/base/status.h"

namespace aio {

enum class Isa : uint32_t {
  kScalar = 1u << 0,
  kAvx2Fma3 = 1u << 1,
  kAvx512 = 1u << 2,
  kNeon = 1u << 3,
};

using IsaMask = uint32_t;

constexpr bool contains(IsaMask mask, Isa isa) { return (mask & static_cast<IsaMask>(isa)) != 0; }

const char* isa_name(Isa isa);

// Floats of one of its registers; 1 without vectors.
int vector_floats(Isa isa);

// What this machine and its operating system can run; always contains kScalar.
IsaMask detect_isa();

// The members of `mask`, best first.
std::vector<Isa> list_isas(IsaMask mask);

// Chooses the ISA to plan with: `requested` if it is not empty, else the environment variable
// AIO_FORCE_ISA if it is set and not empty, else the best of `available`. An unknown or unavailable
// name is refused with the list of valid ones.
Status choose_isa(const std::string& requested, IsaMask available, Isa* chosen);

}  // namespace aio

#endif  // AIO_CSRC_BASE_ISA_H_
