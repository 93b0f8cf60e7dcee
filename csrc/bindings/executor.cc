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

// (N, C, H, W), or (N, F) of a flat input.
std::vector<py::ssize_t> batch_shape(const Shape& shape, py::ssize_t batch) {
  if (shape.flat) return {batch, static_cast<py::ssize_t>(shape.size())};
  return {batch, shape.channels, shape.height, shape.width};
}

// `which` names one of several inputs.
void check_input(const Shape& shape, const FloatArray& x, const std::string& which) {
  const std::vector<py::ssize_t> expected = batch_shape(shape, x.ndim() > 0 ? x.shape(0) : 0);
  const std::vector<py::ssize_t> given(x.shape(), x.shape() + x.ndim());
  if (given == expected) return;
  std::string got;
  for (size_t i = 0; i < given.size(); ++i) got += (i ? ", " : "") + std::to_string(given[i]);
  std::string wanted = "N";
  for (size_t i = 1; i < expected.size(); ++i) wanted += ", " + std::to_string(expected[i]);
  throw py::value_error("input" + which + " has shape (" + got + "), expected (" + wanted + ")");
}

// The arrays of a batch, one per input of the graph, and where their data begins.
struct Inputs {
  std::vector<FloatArray> arrays;
  std::vector<const float*> data;
  int64_t batch = 0;
};

FloatArray as_array(const py::handle& object) {
  FloatArray array = FloatArray::ensure(object);
  if (!array) {
    PyErr_Clear();
    throw py::type_error("an input must be an array of numbers, got " +
                         std::string(py::str(py::type::of(object))));
  }
  return array;
}

// `x` is an array, or a list or tuple of arrays.
Inputs read_inputs(const Executor& executor, const py::object& x) {
  Inputs inputs;
  if (py::isinstance<py::list>(x) || py::isinstance<py::tuple>(x)) {
    for (const py::handle item : x) inputs.arrays.push_back(as_array(item));
  } else {
    inputs.arrays.push_back(as_array(x));
  }
  const std::vector<Shape>& shapes = executor.input_shapes();
  if (inputs.arrays.size() != shapes.size()) {
    throw py::value_error("got " + std::to_string(inputs.arrays.size()) +
                          (inputs.arrays.size() == 1 ? " array" : " arrays") +
                          ", but the graph has " + std::to_string(shapes.size()) +
                          (shapes.size() == 1 ? " input" : " inputs"));
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    const FloatArray& array = inputs.arrays[i];
    check_input(shapes[i], array, shapes.size() > 1 ? " " + std::to_string(i) : "");
    if (array.shape(0) != inputs.arrays[0].shape(0)) {
      throw py::value_error("input " + std::to_string(i) + " has " +
                            std::to_string(array.shape(0)) + " samples, input 0 has " +
                            std::to_string(inputs.arrays[0].shape(0)));
    }
    inputs.data.push_back(array.data());
  }
  inputs.batch = inputs.arrays[0].shape(0);
  return inputs;
}

// Arrays for the outputs of a batch, and where their data begins.
struct Outputs {
  py::list arrays;
  std::vector<float*> data;
};

Outputs make_outputs(const Executor& executor, int64_t batch) {
  Outputs outputs;
  for (const Shape& shape : executor.output_shapes()) {
    py::array_t<float> result(batch_shape(shape, static_cast<py::ssize_t>(batch)));
    outputs.data.push_back(result.mutable_data());
    outputs.arrays.append(std::move(result));
  }
  return outputs;
}

py::list run(Executor& executor, const py::object& x) {
  const Inputs inputs = read_inputs(executor, x);
  const Outputs outputs = make_outputs(executor, inputs.batch);
  py::gil_scoped_release release;
  executor.run(inputs.data.data(), inputs.batch, outputs.data.data());
  py::gil_scoped_acquire acquire;
  return outputs.arrays;
}

py::tuple run_paced(Executor& executor, const py::object& x, double budget_ns, double slowdown,
                    bool replan) {
  const Inputs inputs = read_inputs(executor, x);
  const Outputs outputs = make_outputs(executor, inputs.batch);
  PaceReport report;
  std::optional<Status> status;
  {
    py::gil_scoped_release release;
    status = executor.run_paced(inputs.data.data(), inputs.batch, outputs.data.data(),
                                {budget_ns, slowdown, replan}, &report);
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
