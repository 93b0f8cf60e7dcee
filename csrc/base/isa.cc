// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/isa.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <cstdlib>
#include <cstring>

namespace aio {
namespace {

struct NamedIsa {
  Isa isa;
  const char* name;
  int vector_floats;
};

// Best first: selection and every listing follow this order.
constexpr NamedIsa kIsas[] = {
    {Isa::kAvx512, "avx512", 16},
    {Isa::kAvx2Fma3, "avx2_fma3", 8},
    {Isa::kNeon, "neon", 4},
    {Isa::kScalar, "scalar", 1},
};

Status refuse(const std::string& source, const std::string& name, IsaMask available) {
  bool known = false;
  std::string valid;
  for (const NamedIsa& entry : kIsas) {
    known = known || name == entry.name;
    if (!contains(available, entry.isa)) continue;
    if (!valid.empty()) valid += ", ";
    valid += entry.name;
  }
  return Status::error(source + "='" + name + "' is " +
                       (known ? "not supported by this processor" : "unknown") +
                       "; valid here: " + valid);
}

}  // namespace

const char* isa_name(Isa isa) {
  for (const NamedIsa& entry : kIsas) {
    if (entry.isa == isa) return entry.name;
  }
  return "?";
}

int vector_floats(Isa isa) {
  for (const NamedIsa& entry : kIsas) {
    if (entry.isa == isa) return entry.vector_floats;
  }
  return 1;
}

IsaMask detect_isa() {
  IsaMask mask = static_cast<IsaMask>(Isa::kScalar);
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    mask |= static_cast<IsaMask>(Isa::kAvx2Fma3);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    mask |= static_cast<IsaMask>(Isa::kAvx512);
  }
#elif defined(__aarch64__)
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0) mask |= static_cast<IsaMask>(Isa::kNeon);
#endif
  return mask;
}

std::vector<Isa> list_isas(IsaMask mask) {
  std::vector<Isa> isas;
  for (const NamedIsa& entry : kIsas) {
    if (contains(mask, entry.isa)) isas.push_back(entry.isa);
  }
  return isas;
}

Status choose_isa(const std::string& requested, IsaMask available, Isa* chosen) {
  std::string source = "isa";
  std::string name = requested;
  if (name.empty()) {
    const char* forced = std::getenv("AIO_FORCE_ISA");
    source = "AIO_FORCE_ISA";
    if (forced != nullptr) name = forced;
  }
  for (const NamedIsa& entry : kIsas) {
    if (!contains(available, entry.isa)) continue;
    if (name.empty() || name == entry.name) {
      *chosen = entry.isa;
      return Status::ok();
    }
  }
  return refuse(source, name, available);
}

}  // namespace aio
