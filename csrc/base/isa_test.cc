// SPDX-License-Identifier: Apache-2.0
#include "csrc/base/isa.h"

#include <cstdlib>
#include <string>

#include "csrc/base/check.h"

using aio::Isa;

namespace {

constexpr aio::IsaMask kScalarAndAvx2 =
    static_cast<aio::IsaMask>(Isa::kScalar) | static_cast<aio::IsaMask>(Isa::kAvx2Fma3);

bool mentions(const aio::Status& status, const char* text) {
  return status.message().find(text) != std::string::npos;
}

void test_selection_is_pure() {
  unsetenv("AIO_FORCE_ISA");
  Isa isa = Isa::kScalar;
  AIO_CHECK(aio::choose_isa("", kScalarAndAvx2, &isa).is_ok());
  AIO_CHECK(isa == Isa::kAvx2Fma3);
  AIO_CHECK(aio::choose_isa("scalar", kScalarAndAvx2, &isa).is_ok());
  AIO_CHECK(isa == Isa::kScalar);
}

void test_bad_names_list_the_valid_ones() {
  Isa isa = Isa::kScalar;
  const aio::Status unknown = aio::choose_isa("avx9", kScalarAndAvx2, &isa);
  AIO_CHECK(mentions(unknown, "isa='avx9' is unknown; valid here: avx2_fma3, scalar"));
  const aio::Status absent = aio::choose_isa("avx512", kScalarAndAvx2, &isa);
  AIO_CHECK(mentions(absent, "not supported by this processor"));
}

void test_environment_forces() {
  Isa isa = Isa::kAvx2Fma3;
  setenv("AIO_FORCE_ISA", "scalar", 1);
  AIO_CHECK(aio::choose_isa("", kScalarAndAvx2, &isa).is_ok());
  AIO_CHECK(isa == Isa::kScalar);
  setenv("AIO_FORCE_ISA", "nonsense", 1);
  AIO_CHECK(mentions(aio::choose_isa("", kScalarAndAvx2, &isa), "AIO_FORCE_ISA='nonsense'"));
  unsetenv("AIO_FORCE_ISA");
}

void test_detection_ends_with_scalar() {
  const auto isas = aio::list_isas(aio::detect_isa());
  AIO_CHECK(!isas.empty() && isas.back() == Isa::kScalar);
}

void test_vectors_hold_some_floats() {
  AIO_CHECK(aio::vector_floats(Isa::kAvx512) == 16);
  AIO_CHECK(aio::vector_floats(Isa::kAvx2Fma3) == 8);
  AIO_CHECK(aio::vector_floats(Isa::kNeon) == 4);
  AIO_CHECK(aio::vector_floats(Isa::kScalar) == 1);
}

}  // namespace

int main() {
  test_selection_is_pure();
  test_bad_names_list_the_valid_ones();
  test_environment_forces();
  test_detection_ends_with_scalar();
  test_vectors_hold_some_floats();
  return aio::finish_checks();
}
