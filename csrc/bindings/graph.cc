// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/graph.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "csrc/bindings/bindings.h"

namespace py = pybind11;

namespace aio {
namespace {

using Pair = std::array<int, 2>;
using Padding = std::array<int, 4>;  // top, left, bottom, right

LayerWeights make_weights(const std::string& name, const FloatArray& weight, py::ssize_t rank,
                          const MaybeArray& score, const MaybeArray& threshold,
                          const MaybeArray& scale, const MaybeArray& bias, int block_height) {
  if (weight.ndim() != rank) {
    throw py::value_error("node '" + name + "': weight has " + std::to_string(weight.ndim()) +
                          " dimensions, expected " + std::to_string(rank));
  }
  for (py::ssize_t i = 0; i < rank; ++i) {
    if (weight.shape(i) > (1 << 24)) {
      throw py::value_error("node '" + name + "': weight dimension " +
                            std::to_string(weight.shape(i)) + " exceeds 2^24");
    }
  }
  LayerWeights weights;
  weights.out_channels = static_cast<int>(weight.shape(0));
  weights.in_channels = static_cast<int>(weight.shape(1));
  if (rank == 4) {
    weights.kernel_h = static_cast<int>(weight.shape(2));
    weights.kernel_w = static_cast<int>(weight.shape(3));
  }
  weights.weight = view(weight);
  weights.score = view(score);
  weights.threshold = view(threshold);
  weights.scale = view(scale);
  weights.bias = view(bias);
  weights.layout.height = block_height;
  return weights;
}

Window2d make_window(const Pair& kernel, const Pair& stride, const Padding& padding,
                     const Pair& dilation) {
  return {kernel[0],  kernel[1],  stride[0],  stride[1],   padding[0],
          padding[1], padding[2], padding[3], dilation[0], dilation[1]};
}

constexpr std::pair<const char*, Activation> kActivations[] = {
    {"relu", Activation::kRelu},
    {"relu6", Activation::kRelu6},
    {"leaky_relu", Activation::kLeakyRelu},
    {"silu", Activation::kSilu},
    {"hardswish", Activation::kHardswish},
    {"hardsigmoid", Activation::kHardsigmoid},
    {"sigmoid", Activation::kSigmoid},
    {"tanh", Activation::kTanh},
    {"gelu", Activation::kGelu},
    {"gelu_tanh", Activation::kGeluTanh},
};

Activation parse_activation(const std::string& name, const std::string& kind) {
  std::string valid;
  for (const auto& [known, activation] : kActivations) {
    if (kind == known) return activation;
    valid += (valid.empty() ? "" : ", ") + std::string(known);
  }
  throw py::value_error("node '" + name + "': activation '" + kind +
                        "' is unknown; valid: " + valid);
}

const Shape& shape_of(const Graph& graph, int value) {
  if (value < 0 || value >= static_cast<int>(graph.nodes().size())) {
    throw py::value_error("value " + std::to_string(value) + " does not exist");
  }
  return graph.nodes()[static_cast<size_t>(value)].shape;
}

int add_conv2d(Graph& graph, const std::string& name, int input, const FloatArray& weight,
               const MaybeArray& score, const MaybeArray& threshold, const MaybeArray& scale,
               const MaybeArray& bias, const Pair& stride, const Padding& padding,
               const Pair& dilation, int groups, int block_height) {
  int id = -1;
  LayerWeights weights = make_weights(name, weight, 4, score, threshold, scale, bias, block_height);
  weights.groups = groups;
  raise_if_error(graph.add_conv2d(name, input, std::move(weights),
                                  make_window({1, 1}, stride, padding, dilation), &id));
  return id;
}

int add_linear(Graph& graph, const std::string& name, int input, const FloatArray& weight,
               const MaybeArray& score, const MaybeArray& threshold, const MaybeArray& scale,
               const MaybeArray& bias, int block_height) {
  int id = -1;
  raise_if_error(graph.add_linear(
      name, input, make_weights(name, weight, 2, score, threshold, scale, bias, block_height),
      &id));
  return id;
}

int add_pool(Graph& graph, const std::string& name, Op op, int input, const Pair& kernel,
             const Pair& stride, const Padding& padding, bool count_include_pad) {
  int id = -1;
  raise_if_error(graph.add_pool(name, op, input, make_window(kernel, stride, padding, {1, 1}),
                                count_include_pad, &id));
  return id;
}

int add_global_avg_pool(Graph& graph, const std::string& name, int input) {
  const Shape shape = shape_of(graph, input);
  return add_pool(graph, name, Op::kAvgPool2d, input, {shape.height, shape.width}, {1, 1},
                  {0, 0, 0, 0}, true);
}

void bind_layers(py::class_<Graph>& graph) {
  const auto none = py::none();
  graph.def("conv2d", add_conv2d, py::arg("name"), py::arg("input"), py::arg("weight"),
            py::kw_only(), py::arg("score") = none, py::arg("threshold") = none,
            py::arg("scale") = none, py::arg("bias") = none, py::arg("stride") = Pair{1, 1},
            py::arg("padding") = Padding{0, 0, 0, 0}, py::arg("dilation") = Pair{1, 1},
            py::arg("groups") = 1, py::arg("block_height") = BlockLayout{}.height);
  graph.def("linear", add_linear, py::arg("name"), py::arg("input"), py::arg("weight"),
            py::kw_only(), py::arg("score") = none, py::arg("threshold") = none,
            py::arg("scale") = none, py::arg("bias") = none,
            py::arg("block_height") = BlockLayout{}.height);
}

void bind_pools(py::class_<Graph>& graph) {
  graph.def(
      "max_pool2d",
      [](Graph& self, const std::string& name, int input, const Pair& kernel, const Pair& stride,
         const Padding& padding) {
        return add_pool(self, name, Op::kMaxPool2d, input, kernel, stride, padding, true);
      },
      py::arg("name"), py::arg("input"), py::arg("kernel"), py::arg("stride"), py::arg("padding"));
  graph.def(
      "avg_pool2d",
      [](Graph& self, const std::string& name, int input, const Pair& kernel, const Pair& stride,
         const Padding& padding, bool count_include_pad) {
        return add_pool(self, name, Op::kAvgPool2d, input, kernel, stride, padding,
                        count_include_pad);
      },
      py::arg("name"), py::arg("input"), py::arg("kernel"), py::arg("stride"), py::arg("padding"),
      py::arg("count_include_pad"));
  graph.def("global_avg_pool2d", add_global_avg_pool, py::arg("name"), py::arg("input"));
}

}  // namespace

void bind_graph(py::module_& module) {
  py::class_<Graph> graph(module, "Graph");
  graph.def(py::init<int>(), py::arg("levels"));
  graph.def(
      "input",
      [](Graph& self, const std::string& name, int channels, int height, int width) {
        int id = -1;
        raise_if_error(self.add_input(name, channels, height, width, &id));
        return id;
      },
      py::arg("name"), py::arg("channels"), py::arg("height"), py::arg("width"));
  graph.def(
      "flat_input",
      [](Graph& self, const std::string& name, int features) {
        int id = -1;
        raise_if_error(self.add_flat_input(name, features, &id));
        return id;
      },
      py::arg("name"), py::arg("features"));
  bind_layers(graph);
  bind_pools(graph);
  bind_operators(graph);
  graph.def(
      "activation",
      [](Graph& self, const std::string& name, int input, const std::string& kind,
         float negative_slope) {
        int id = -1;
        raise_if_error(
            self.add_activation(name, input, parse_activation(name, kind), &id, negative_slope));
        return id;
      },
      py::arg("name"), py::arg("input"), py::arg("kind"), py::kw_only(),
      py::arg("negative_slope") = 0.01f);
  graph.def(
      "flatten",
      [](Graph& self, const std::string& name, int input) {
        int id = -1;
        raise_if_error(self.add_flatten(name, input, &id));
        return id;
      },
      py::arg("name"), py::arg("input"));
  graph.def(
      "output", [](Graph& self, int value) { raise_if_error(self.add_output(value)); },
      py::arg("value"));
  graph.def(
      "shape", [](const Graph& self, int value) { return shape_tuple(shape_of(self, value)); },
      py::arg("value"));
}

}  // namespace aio
