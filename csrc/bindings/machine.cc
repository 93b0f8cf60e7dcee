// SPDX-License-Identifier: Apache-2.0
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "csrc/base/cpu_clock.h"
#include "csrc/base/handover.h"
#include "csrc/bindings/bindings.h"
#include "csrc/kernels/fma_peak/fma_peak.h"
#include "csrc/kernels/read_bandwidth/read_bandwidth.h"

namespace py = pybind11;

namespace aio {
namespace {

constexpr int kMaxThreads = 1024;

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

void check_measurement(double duration_ms, int threads) {
  if (!(duration_ms > 0.0 && duration_ms <= 60000.0)) {
    throw py::value_error("duration_ms=" + std::to_string(duration_ms) + " is outside (0, 60000]");
  }
  if (threads < 1 || threads > kMaxThreads) {
    throw py::value_error("threads=" + std::to_string(threads) + " is outside [1, " +
                          std::to_string(kMaxThreads) + "]");
  }
}

double measured_peak(const std::string& isa, double duration_ms, int threads) {
  check_measurement(duration_ms, threads);
  const Isa chosen = isa_or_raise(isa);
  py::gil_scoped_release release;
  return measure_fma_peak(chosen, duration_ms, threads);
}

double measured_bandwidth(const std::string& isa,
                          const py::array_t<float, py::array::c_style>& data, double duration_ms,
                          int threads) {
  check_measurement(duration_ms, threads);
  const int64_t least = threads * kReadStep;
  if (data.size() < least) {
    throw py::value_error("the buffer has " + std::to_string(data.size()) + " floats, " +
                          std::to_string(threads) + " threads need at least " +
                          std::to_string(least));
  }
  const Isa chosen = isa_or_raise(isa);
  const float* values = data.data();
  const int64_t count = data.size();
  py::gil_scoped_release release;
  return measure_read_bandwidth(chosen, values, count, duration_ms, threads);
}

}  // namespace

void bind_machine(py::module_& module) {
  module.def("supported_isas", supported_isas);
  module.def("native_info", native_info);
  module.def("measure_fma_peak", measured_peak, py::arg("isa"), py::arg("duration_ms"),
             py::arg("threads") = 1);
  module.def("measure_bandwidth", measured_bandwidth, py::arg("isa"), py::arg("buffer").noconvert(),
             py::arg("duration_ms"), py::arg("threads") = 1);
  module.def("measure_handover_ns", measure_handover_ns, py::call_guard<py::gil_scoped_release>());
  module.def("measure_cpu_khz", measure_cpu_khz, py::call_guard<py::gil_scoped_release>());
}

}  // namespace aio
