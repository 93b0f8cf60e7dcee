// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/executor.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "csrc/bindings/bindings.h"

namespace py = pybind11;

namespace aio {
namespace {

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

// Leaves the graph empty, so that weights go as soon as they are packed.
std::unique_ptr<Executor> create(Graph& graph, int threads, const std::optional<std::string>& isa) {
  std::unique_ptr<Executor> executor;
  const Isa chosen = isa_or_raise(isa.value_or(""));
  Graph taken = std::move(graph);
  py::gil_scoped_release release;
  const Status status = Executor::create(std::move(taken), threads, chosen, &executor);
  py::gil_scoped_acquire acquire;
  raise_if_error(status);
  return executor;
}

void check_input(const Shape& expected, const FloatArray& x) {
  if (x.ndim() == 4 && x.shape(1) == expected.channels && x.shape(2) == expected.height &&
      x.shape(3) == expected.width) {
    return;
  }
  std::string got;
  for (py::ssize_t i = 0; i < x.ndim(); ++i) got += (i ? ", " : "") + std::to_string(x.shape(i));
  throw py::value_error("input has shape (" + got + "), expected (N, " +
                        std::to_string(expected.channels) + ", " + std::to_string(expected.height) +
                        ", " + std::to_string(expected.width) + ")");
}

// Arrays for the outputs of a batch, and where their data begins.
struct Outputs {
  py::list arrays;
  std::vector<float*> data;
};

Outputs make_outputs(const Executor& executor, const FloatArray& x) {
  check_input(executor.input_shape(), x);
  Outputs outputs;
  for (const Shape& shape : executor.output_shapes()) {
    std::vector<py::ssize_t> dims = {x.shape(0)};
    if (shape.flat) {
      dims.push_back(static_cast<py::ssize_t>(shape.size()));
    } else {
      dims.insert(dims.end(), {shape.channels, shape.height, shape.width});
    }
    py::array_t<float> result(dims);
    outputs.data.push_back(result.mutable_data());
    outputs.arrays.append(std::move(result));
  }
  return outputs;
}

py::list run(Executor& executor, const FloatArray& x) {
  const Outputs outputs = make_outputs(executor, x);
  const float* input = x.data();
  const int64_t batch = x.shape(0);
  py::gil_scoped_release release;
  executor.run(input, batch, outputs.data.data());
  py::gil_scoped_acquire acquire;
  return outputs.arrays;
}

py::tuple run_paced(Executor& executor, const FloatArray& x, double budget_ns, double slowdown,
                    bool replan) {
  const Outputs outputs = make_outputs(executor, x);
  const float* input = x.data();
  const int64_t batch = x.shape(0);
  PaceReport report;
  std::optional<Status> status;
  {
    py::gil_scoped_release release;
    status = executor.run_paced(input, batch, outputs.data.data(), {budget_ns, slowdown, replan},
                                &report);
  }
  raise_if_error(*status);
  return py::make_tuple(outputs.arrays, report.elapsed_ns, report.expected_ns, report.replans);
}

void set_pace(Executor& executor, const DoubleArray& cost_ns, std::vector<int> allowed) {
  std::vector<double> costs = matrix_values(cost_ns);
  std::optional<Status> status;
  {
    py::gil_scoped_release release;  // waits for a run in progress
    status = executor.set_pace(std::move(costs), std::move(allowed));
  }
  raise_if_error(*status);
}

py::list layers(const Executor& executor) {
  py::list list;
  for (const LayerInfo& info : executor.layers()) {
    py::dict layer;
    layer["name"] = info.name;
    layer["op"] = info.op;
    layer["kernel"] = info.kernel;
    layer["kernels"] = info.kernels;
    layer["output_shape"] = shape_tuple(info.output_shape);
    layer["sparse"] = info.sparse;
    layer["parts"] = info.parts;
    layer["macs"] = info.macs;
    layer["nonzero_weights"] = info.nonzero_weights;
    layer["prunable_weights"] = info.prunable_weights;
    layer["weight_bytes"] = info.weight_bytes;
    layer["activation_bytes"] = info.activation_bytes;
    list.append(layer);
  }
  return list;
}

}  // namespace

void bind_executor(py::module_& module) {
  const auto no_gil = py::call_guard<py::gil_scoped_release>();
  py::class_<Executor>(module, "Executor")
      .def(py::init(&create), py::arg("graph"), py::kw_only(), py::arg("threads") = 1,
           py::arg("isa") = py::none())
      .def("run", run, py::arg("x"))
      .def(
          "set_level", [](Executor& self, int level) { raise_if_error(self.set_level(level)); },
          py::arg("level"))
      .def(
          "set_layer_levels",
          [](Executor& self, const std::vector<int>& levels) {
            std::optional<Status> status;
            {
              py::gil_scoped_release release;  // waits for a run in progress
              status = self.set_layer_levels(levels);
            }
            raise_if_error(*status);
          },
          py::arg("levels"))
      .def("set_pace", set_pace, py::arg("cost_ns"), py::arg("allowed"))
      .def("run_paced", run_paced, py::arg("x"), py::kw_only(), py::arg("budget_ns"),
           py::arg("slowdown") = 1.0, py::arg("replan") = true)
      .def("paced_levels", &Executor::paced_levels, no_gil)
      .def("set_profiling", &Executor::set_profiling, py::arg("enabled"))
      .def("layer_ns", &Executor::layer_ns, no_gil)
      .def("layers", layers)
      .def_property_readonly("isa", [](const Executor& self) { return isa_name(self.isa()); })
      .def_property_readonly("threads", &Executor::threads)
      .def_property_readonly("levels", &Executor::levels)
      .def_property_readonly("weight_bytes", &Executor::weight_bytes)
      .def_property_readonly("arena_bytes", &Executor::arena_bytes);
}

}  // namespace aio
