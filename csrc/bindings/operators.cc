// SPDX-License-Identifier: Apache-2.0
//
// The graph's operators that combine, reshape or normalise values.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "csrc/bindings/bindings.h"
#include "csrc/executor/graph.h"

namespace py = pybind11;

namespace aio {
namespace {

using Pair = std::array<int, 2>;
using AddPair = Status (Graph::*)(const std::string&, int, int, int*);

std::string dimensions(const FloatArray& array) {
  std::string text;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    text += (i ? ", " : "") + std::to_string(array.shape(i));
  }
  return "(" + text + ")";
}

void check_shape(const std::string& name, const char* what, const MaybeArray& array,
                 const std::vector<int64_t>& expected) {
  if (!array) return;
  bool equal = array->ndim() == static_cast<py::ssize_t>(expected.size());
  std::string wanted;
  for (size_t i = 0; i < expected.size(); ++i) {
    equal = equal && array->shape(static_cast<py::ssize_t>(i)) == expected[i];
    wanted += (i ? ", " : "") + std::to_string(expected[i]);
  }
  if (equal) return;
  throw py::value_error("node '" + name + "': " + what + " has shape " + dimensions(*array) +
                        ", expected (" + wanted + ")");
}

// Before the graph has seen the value: 0 for one that does not exist, which the graph refuses.
Shape known_shape(const Graph& graph, int value) {
  if (value < 0 || value >= static_cast<int>(graph.nodes().size())) return {};
  return graph.nodes()[static_cast<size_t>(value)].shape;
}

template <AddPair kAdd>
int add_pair(Graph& graph, const std::string& name, int a, int b) {
  int id = -1;
  raise_if_error((graph.*kAdd)(name, a, b, &id));
  return id;
}

int add_affine(Graph& graph, const std::string& name, int input, const MaybeArray& scale,
               const MaybeArray& bias) {
  int id = -1;
  const Shape shape = known_shape(graph, input);
  if (shape.size() > 0) {
    const int64_t width = shape.flat ? shape.size() : shape.channels;
    check_shape(name, "scale", scale, {graph.levels(), width});
    check_shape(name, "bias", bias, {graph.levels(), width});
  }
  raise_if_error(graph.add_affine(name, input, view(scale), view(bias), &id));
  return id;
}

template <Op kOp>
int add_adaptive_pool(Graph& graph, const std::string& name, int input, const Pair& output_size) {
  int id = -1;
  raise_if_error(graph.add_adaptive_pool(name, kOp, input, output_size[0], output_size[1], &id));
  return id;
}

int add_upsample(Graph& graph, const std::string& name, int input, const Pair& size,
                 const std::string& mode, bool align_corners) {
  if (mode != "nearest" && mode != "bilinear") {
    throw py::value_error("node '" + name + "': mode '" + mode +
                          "' is unknown; valid: nearest, bilinear");
  }
  int id = -1;
  raise_if_error(graph.add_upsample(
      name, input, size[0], size[1],
      mode == "nearest" ? UpsampleMode::kNearest : UpsampleMode::kBilinear, align_corners, &id));
  return id;
}

int add_layer_norm(Graph& graph, const std::string& name, int input, float eps,
                   const std::string& over, const MaybeArray& weight, const MaybeArray& bias) {
  if (over != "sample" && over != "channels") {
    throw py::value_error("node '" + name + "': over '" + over +
                          "' is unknown; valid: sample, channels");
  }
  const bool sample = over == "sample";
  const Shape shape = known_shape(graph, input);
  if (shape.size() > 0 && (sample || !shape.flat)) {
    std::vector<int64_t> expected = {shape.channels};
    if (sample && shape.flat) expected = {shape.size()};
    if (sample && !shape.flat) expected = {shape.channels, shape.height, shape.width};
    check_shape(name, "weight", weight, expected);
    check_shape(name, "bias", bias, expected);
  }
  int id = -1;
  raise_if_error(graph.add_layer_norm(name, input, eps,
                                      sample ? NormOver::kSample : NormOver::kChannels,
                                      view(weight), view(bias), &id));
  return id;
}

}  // namespace

void bind_operators(py::class_<Graph>& graph) {
  const auto none = py::none();
  graph.def("add", add_pair<&Graph::add_add>, py::arg("name"), py::arg("a"), py::arg("b"));
  graph.def("mul", add_pair<&Graph::add_mul>, py::arg("name"), py::arg("a"), py::arg("b"));
  graph.def("affine", add_affine, py::arg("name"), py::arg("input"), py::kw_only(),
            py::arg("scale") = none, py::arg("bias") = none);
  graph.def(
      "concat",
      [](Graph& self, const std::string& name, const std::vector<int>& inputs) {
        int id = -1;
        raise_if_error(self.add_concat(name, inputs, &id));
        return id;
      },
      py::arg("name"), py::arg("inputs"));
  graph.def("adaptive_avg_pool2d", add_adaptive_pool<Op::kAdaptiveAvgPool2d>, py::arg("name"),
            py::arg("input"), py::arg("output_size"));
  graph.def("adaptive_max_pool2d", add_adaptive_pool<Op::kAdaptiveMaxPool2d>, py::arg("name"),
            py::arg("input"), py::arg("output_size"));
  graph.def("upsample", add_upsample, py::arg("name"), py::arg("input"), py::arg("size"),
            py::arg("mode"), py::arg("align_corners") = false);
  graph.def(
      "softmax",
      [](Graph& self, const std::string& name, int input) {
        int id = -1;
        raise_if_error(self.add_softmax(name, input, &id));
        return id;
      },
      py::arg("name"), py::arg("input"));
  graph.def("layer_norm", add_layer_norm, py::arg("name"), py::arg("input"), py::kw_only(),
            py::arg("eps"), py::arg("over"), py::arg("weight") = none, py::arg("bias") = none);
}

}  // namespace aio
