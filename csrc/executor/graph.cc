// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/graph.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "csrc/executor/graph_checks.h"
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {
const char* op_name(Op op) {
  switch (op) {
    case Op::kInput:
      return "input";
    case Op::kConv2d:
      return "conv2d";
    case Op::kLinear:
      return "linear";
    case Op::kAdd:
      return "add";
    case Op::kMul:
      return "mul";
    case Op::kAffine:
      return "affine";
    case Op::kActivation:
      return "activation";
    case Op::kMaxPool2d:
      return "max_pool2d";
    case Op::kAvgPool2d:
      return "avg_pool2d";
    case Op::kAdaptiveMaxPool2d:
      return "adaptive_max_pool2d";
    case Op::kAdaptiveAvgPool2d:
      return "adaptive_avg_pool2d";
    case Op::kUpsample:
      return "upsample";
    case Op::kSoftmax:
      return "softmax";
    case Op::kLayerNorm:
      return "layer_norm";
    case Op::kConcat:
      return "concat";
    case Op::kFlatten:
      return "flatten";
  }
  return "?";
}

Status Graph::check_value(const std::string& name, int value) const {
  if (value >= 0 && value < static_cast<int>(nodes_.size())) return Status::ok();
  return refuse(name, "value " + number(value) + " does not exist; the graph has " +
                          std::to_string(nodes_.size()));
}

Status Graph::append(Node node, int* id) {
  AIO_RETURN_IF_ERROR(check_range(node.name, node.shape.flat ? "features" : "channels",
                                  node.shape.channels, 1,
                                  node.shape.flat ? kMaxFeatures : kMaxChannels));
  AIO_RETURN_IF_ERROR(check_range(node.name, "height", node.shape.height, 1, kMaxSide));
  AIO_RETURN_IF_ERROR(check_range(node.name, "width", node.shape.width, 1, kMaxSide));
  if (node.shape.size() > kMaxActivationFloats) {
    return refuse(node.name, "makes " + number(node.shape.size()) +
                                 " values per sample, the limit is " +
                                 number(kMaxActivationFloats));
  }
  nodes_.push_back(std::move(node));
  *id = static_cast<int>(nodes_.size()) - 1;
  return Status::ok();
}

Status Graph::check_layout(const std::string& name, const LayerWeights& weights) const {
  const int height = weights.layout.height;
  std::string possible;
  for (const int candidate : kBlockHeights) {
    if (!has_sparse_conv({candidate, weights.layout.type})) continue;
    possible += (possible.empty() ? "" : " and ") + std::to_string(candidate);
  }
  if (!has_sparse_conv(weights.layout)) {
    return refuse(name, "there are no kernels for blocks of " + std::to_string(height) +
                            " output channels, only for " + possible);
  }
  if (weights.is_depthwise() && height != kLanes) {
    return refuse(name, "a depthwise convolution needs blocks of " + std::to_string(kLanes) +
                            " output channels, its block height is " + std::to_string(height));
  }
  return Status::ok();
}

Status Graph::check_weights(const std::string& name, const LayerWeights& weights) const {
  AIO_RETURN_IF_ERROR(check_range(name, "out_channels", weights.out_channels, 1, kMaxChannels));
  AIO_RETURN_IF_ERROR(check_range(name, "kernel height", weights.kernel_h, 1, kMaxSide));
  AIO_RETURN_IF_ERROR(check_range(name, "kernel width", weights.kernel_w, 1, kMaxSide));
  const int64_t elements = int64_t{weights.in_channels} * weights.kernel_h * weights.kernel_w;
  AIO_RETURN_IF_ERROR(check_layout(name, weights));
  const int64_t blocks = blocks_of(weights.out_channels, weights.layout);
  const int64_t vectors = int64_t{levels_} * weights.out_channels;
  AIO_RETURN_IF_ERROR(
      check_size(name, "weight", weights.weight.size(), elements * weights.out_channels));
  if (!weights.scale.empty()) {
    AIO_RETURN_IF_ERROR(check_size(name, "scale", weights.scale.size(), vectors));
  }
  if (!weights.bias.empty()) {
    AIO_RETURN_IF_ERROR(check_size(name, "bias", weights.bias.size(), vectors));
  }
  if (weights.score.empty() != weights.threshold.empty()) {
    return refuse(name, "score and threshold must be given together");
  }
  if (weights.score.empty()) return Status::ok();
  AIO_RETURN_IF_ERROR(check_size(name, "score", weights.score.size(), elements * blocks));
  AIO_RETURN_IF_ERROR(check_size(name, "threshold", weights.threshold.size(), levels_));
  const auto is_nan = [](float x) { return x != x; };
  if (std::any_of(weights.threshold.begin(), weights.threshold.end(), is_nan) ||
      !std::is_sorted(weights.threshold.begin(), weights.threshold.end())) {
    return refuse(name, "threshold must not decrease from level to level, nor be NaN");
  }
  if (std::any_of(weights.score.begin(), weights.score.end(), is_nan)) {
    return refuse(name, "score has a NaN");
  }
  return Status::ok();
}

Status Graph::check_groups(const std::string& name, const LayerWeights& weights,
                           int channels) const {
  const int groups = weights.groups;
  AIO_RETURN_IF_ERROR(check_range(name, "groups", groups, 1, kMaxChannels));
  if (channels % groups != 0 || weights.out_channels % groups != 0) {
    return refuse(name, number(groups) + " groups do not divide " + number(channels) +
                            " input and " + number(weights.out_channels) + " output channels");
  }
  if (int64_t{weights.in_channels} * groups != channels) {
    const std::string per_group = groups == 1 ? "" : " in each of " + number(groups) + " groups";
    return refuse(name, "weight has " + number(weights.in_channels) + " input channels" +
                            per_group + ", its input has " + number(channels));
  }
  if (groups == 1 || weights.is_depthwise()) return Status::ok();
  // A block of output channels holds the elements of every group it touches.
  const int64_t size = weights.out_channels / groups;
  const int height = weights.layout.height;
  int64_t packed = 0;
  for (int64_t begin = 0; begin < weights.out_channels; begin += height) {
    const int64_t last = std::min<int64_t>(begin + height, weights.out_channels) - 1;
    packed += last / size - begin / size + 1;
  }
  packed *= int64_t{weights.in_channels} * weights.kernel_h * weights.kernel_w * height;
  if (packed > kMaxPackedFloats) {
    return refuse(name, "its " + number(groups) + " groups need " + number(packed) +
                            " packed weights, the limit is " + number(kMaxPackedFloats));
  }
  return Status::ok();
}

Status Graph::window_shape(const std::string& name, const Window2d& window, const Shape& in,
                           Shape* out) const {
  if (in.flat) return refuse(name, "needs an image, but its input is flat");
  for (const int side : {window.kernel_h, window.kernel_w, window.stride_h, window.stride_w,
                         window.dilation_h, window.dilation_w}) {
    AIO_RETURN_IF_ERROR(check_range(name, "kernel, stride or dilation", side, 1, kMaxSide));
  }
  for (const int pad : {window.pad_top, window.pad_left, window.pad_bottom, window.pad_right}) {
    AIO_RETURN_IF_ERROR(check_range(name, "padding", pad, 0, kMaxSide));
  }
  const int64_t room_h = int64_t{in.height} + window.pad_top + window.pad_bottom;
  const int64_t room_w = int64_t{in.width} + window.pad_left + window.pad_right;
  const int64_t reach_h = int64_t{window.kernel_h - 1} * window.dilation_h + 1;
  const int64_t reach_w = int64_t{window.kernel_w - 1} * window.dilation_w + 1;
  if (reach_h > room_h || reach_w > room_w) {
    return refuse(name, "kernel reaches over " + number(reach_h) + "x" + number(reach_w) +
                            " but the padded input is " + number(room_h) + "x" + number(room_w));
  }
  out->height = static_cast<int>((room_h - reach_h) / window.stride_h) + 1;
  out->width = static_cast<int>((room_w - reach_w) / window.stride_w) + 1;
  return Status::ok();
}

Status Graph::add_input(const std::string& name, int channels, int height, int width, int* id) {
  AIO_RETURN_IF_ERROR(check_range(name, "levels", levels_, 1, kMaxLevels));
  Node node;
  node.name = name;
  node.shape = {channels, height, width, false};
  return append(std::move(node), id);
}

Status Graph::add_flat_input(const std::string& name, int features, int* id) {
  AIO_RETURN_IF_ERROR(check_range(name, "levels", levels_, 1, kMaxLevels));
  Node node;
  node.name = name;
  node.shape = {features, 1, 1, true};
  return append(std::move(node), id);
}

Status Graph::add_conv2d(const std::string& name, int input, LayerWeights weights,
                         const Window2d& window, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  const Shape& in = nodes_[static_cast<size_t>(input)].shape;
  AIO_RETURN_IF_ERROR(check_weights(name, weights));
  AIO_RETURN_IF_ERROR(check_groups(name, weights, in.channels));
  Node node;
  node.op = Op::kConv2d;
  node.name = name;
  node.inputs = {input};
  node.window = window;
  node.window.kernel_h = weights.kernel_h;
  node.window.kernel_w = weights.kernel_w;
  node.shape.channels = weights.out_channels;
  AIO_RETURN_IF_ERROR(window_shape(name, node.window, in, &node.shape));
  node.weights = std::move(weights);
  return append(std::move(node), id);
}

Status Graph::add_linear(const std::string& name, int input, LayerWeights weights, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  const Shape& in = nodes_[static_cast<size_t>(input)].shape;
  if (!in.flat) return refuse(name, "needs a flat input; put a flatten before it");
  AIO_RETURN_IF_ERROR(check_weights(name, weights));
  if (weights.in_channels != in.size()) {
    return refuse(name, "weight has " + number(weights.in_channels) +
                            " input features, its input has " + number(in.size()));
  }
  Node node;
  node.op = Op::kLinear;
  node.name = name;
  node.inputs = {input};
  node.shape = {weights.out_channels, 1, 1, true};
  node.weights = std::move(weights);
  return append(std::move(node), id);
}

Status Graph::add_activation(const std::string& name, int input, Activation activation, int* id,
                             float negative_slope) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  if (!std::isfinite(negative_slope)) {
    return refuse(name, "negative_slope " + std::to_string(negative_slope) + " is not finite");
  }
  Node node;
  node.op = Op::kActivation;
  node.name = name;
  node.inputs = {input};
  node.activation = activation;
  node.negative_slope = negative_slope;
  node.shape = nodes_[static_cast<size_t>(input)].shape;
  return append(std::move(node), id);
}

Status Graph::add_pool(const std::string& name, Op op, int input, const Window2d& window,
                       bool count_include_pad, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  const Shape& in = nodes_[static_cast<size_t>(input)].shape;
  Node node;
  node.op = op;
  node.name = name;
  node.inputs = {input};
  node.window = window;
  node.count_include_pad = count_include_pad;
  node.shape.channels = in.channels;
  AIO_RETURN_IF_ERROR(window_shape(name, window, in, &node.shape));
  // A wider padding would make windows that hold no pixel at all.
  AIO_RETURN_IF_ERROR(check_range(name, "vertical padding",
                                  std::max(window.pad_top, window.pad_bottom), 0,
                                  window.kernel_h / 2));
  AIO_RETURN_IF_ERROR(check_range(name, "horizontal padding",
                                  std::max(window.pad_left, window.pad_right), 0,
                                  window.kernel_w / 2));
  return append(std::move(node), id);
}

Status Graph::add_flatten(const std::string& name, int input, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  Node node;
  node.op = Op::kFlatten;
  node.name = name;
  node.inputs = {input};
  node.shape = nodes_[static_cast<size_t>(input)].shape;
  node.shape.flat = true;
  return append(std::move(node), id);
}

Status Graph::add_output(int value) {
  AIO_RETURN_IF_ERROR(check_value("output", value));
  outputs_.push_back(value);
  return Status::ok();
}

Status Graph::check_complete() const {
  const auto inputs = std::count_if(nodes_.begin(), nodes_.end(),
                                    [](const Node& node) { return node.op == Op::kInput; });
  if (inputs == 0) return Status::error("the graph has no input");
  if (outputs_.empty()) return Status::error("the graph has no output");
  return Status::ok();
}

}  // namespace aio
