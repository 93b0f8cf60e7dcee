// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "csrc/base/cpu_clock.h"
#include "csrc/bindings/bindings.h"
#include "csrc/kernels/fma_peak/fma_peak.h"

namespace py = pybind11;

namespace aio {
namespace {

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (const Isa isa : list_isas(detect_isa())) names.emplace_back(isa_name(isa));
  return names;
}

py::dict native_info() {
  py::dict info;
  info["isa_found"] = supported_isas();
  info["isa_used"] = isa_name(isa_or_raise(""));
#if defined(__clang__)
  info["compiler"] = "clang " __clang_version__;
#else
  info["compiler"] = "gcc " __VERSION__;
#endif
  info["cxx_standard"] = __cplusplus;
  return info;
}

double measured_peak(const std::string& isa, double duration_ms) {
  if (!(duration_ms > 0.0 && duration_ms <= 60000.0)) {
    throw py::value_error("duration_ms=" + std::to_string(duration_ms) + " is outside (0, 60000]");
  }
  const Isa chosen = isa_or_raise(isa);
  py::gil_scoped_release release;
  return measure_fma_peak(chosen, duration_ms);
}

}  // namespace

void bind_machine(py::module_& module) {
  module.def("supported_isas", supported_isas);
  module.def("native_info", native_info);
  module.def("measure_fma_peak", measured_peak, py::arg("isa"), py::arg("duration_ms"));
  module.def("measure_cpu_khz", measure_cpu_khz, py::call_guard<py::gil_scoped_release>());
}

}  // namespace aio
