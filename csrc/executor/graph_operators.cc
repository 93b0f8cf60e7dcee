// SPDX-License-Identifier: Apache-2.0
//
// The nodes that combine, reshape or normalise values; layers and pooling with windows are in
// graph.cc.
#include <cmath>
#include <utility>

#include "csrc/executor/graph.h"
#include "csrc/executor/graph_checks.h"

namespace aio {
namespace {

constexpr int kMaxConcatInputs = 256;

std::string text(const Shape& shape) {
  return number(shape.channels) + "x" + number(shape.height) + "x" + number(shape.width) +
         (shape.flat ? " (flat)" : "");
}

// Whether `small` is one pixel that an image of `large` can add to each of its own.
bool broadcasts(const Shape& small, const Shape& large) {
  return !small.flat && !large.flat && small.height == 1 && small.width == 1 &&
         small.channels == large.channels;
}

bool in_order(const Shape& shape) { return shape.height == 1 && shape.width == 1; }

}  // namespace

Status Graph::order_features(const std::string& name, int value, int* ordered) {
  *ordered = value;
  const Shape& in = shape(value);
  if (!in.flat || in_order(in)) return Status::ok();
  Node node;
  node.op = Op::kConcat;
  node.name = name + ".features";
  node.inputs = {value};
  if (in.size() > kMaxFeatures) {
    return refuse(name, "its input has " + number(in.size()) + " features, the limit is " +
                            number(kMaxFeatures));
  }
  node.shape = {static_cast<int>(in.size()), 1, 1, true};
  return append(std::move(node), ordered);
}

Status Graph::add_pairwise(const std::string& name, Op op, int a, int b, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, a));
  AIO_RETURN_IF_ERROR(check_value(name, b));
  const Shape left = shape(a);
  const Shape right = shape(b);
  const bool equal =
      left.flat == right.flat && (left.flat ? left.size() == right.size() : left.same_image(right));
  if (!equal && !broadcasts(left, right) && !broadcasts(right, left)) {
    return refuse(name, std::string(op == Op::kAdd ? "adds " : "multiplies ") + text(left) +
                            " and " + text(right) +
                            "; shapes must be equal, or one of them Cx1x1 of an image CxHxW");
  }
  if (left.flat && !left.same_image(right)) {
    AIO_RETURN_IF_ERROR(order_features(name + ".a", a, &a));
    AIO_RETURN_IF_ERROR(order_features(name + ".b", b, &b));
  }
  Node node;
  node.op = op;
  node.name = name;
  node.inputs = {a, b};
  node.shape = shape(broadcasts(shape(a), shape(b)) ? b : a);
  return append(std::move(node), id);
}

Status Graph::add_add(const std::string& name, int a, int b, int* id) {
  return add_pairwise(name, Op::kAdd, a, b, id);
}

Status Graph::add_mul(const std::string& name, int a, int b, int* id) {
  return add_pairwise(name, Op::kMul, a, b, id);
}

Status Graph::add_affine(const std::string& name, int input, Floats scale, Floats bias, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  const Shape& in = shape(input);
  const int64_t expected = levels_ * (in.flat ? in.size() : in.channels);
  if (!scale.empty()) AIO_RETURN_IF_ERROR(check_size(name, "scale", scale.size(), expected));
  if (!bias.empty()) AIO_RETURN_IF_ERROR(check_size(name, "bias", bias.size(), expected));
  AIO_RETURN_IF_ERROR(order_features(name, input, &input));
  Node node;
  node.op = Op::kAffine;
  node.name = name;
  node.inputs = {input};
  node.shape = shape(input);
  node.scale = std::move(scale);
  node.bias = std::move(bias);
  return append(std::move(node), id);
}

Status Graph::add_concat(const std::string& name, const std::vector<int>& inputs, int* id) {
  if (inputs.size() < 2 || inputs.size() > kMaxConcatInputs) {
    return refuse(name, "joins " + std::to_string(inputs.size()) + " values, expected 2 to " +
                            number(kMaxConcatInputs));
  }
  for (const int input : inputs) AIO_RETURN_IF_ERROR(check_value(name, input));
  const Shape& first = shape(inputs[0]);
  int64_t channels = 0;
  for (const int input : inputs) {
    const Shape& in = shape(input);
    const bool fits = in.flat == first.flat &&
                      (in.flat || (in.height == first.height && in.width == first.width));
    if (!fits) {
      return refuse(name, "joins " + text(first) + " and " + text(in) +
                              "; heights and widths must be equal, and all values flat or none");
    }
    channels += in.flat ? in.size() : in.channels;
  }
  const int limit = first.flat ? kMaxFeatures : kMaxChannels;
  if (channels > limit) {
    return refuse(name, "makes " + number(channels) + (first.flat ? " features" : " channels") +
                            ", the limit is " + number(limit));
  }
  Node node;
  node.op = Op::kConcat;
  node.name = name;
  node.inputs = inputs;
  node.shape = {static_cast<int>(channels), first.flat ? 1 : first.height,
                first.flat ? 1 : first.width, first.flat};
  return append(std::move(node), id);
}

Status Graph::add_adaptive_pool(const std::string& name, Op op, int input, int height, int width,
                                int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  if (shape(input).flat) return refuse(name, "needs an image, but its input is flat");
  Node node;
  node.op = op;
  node.name = name;
  node.inputs = {input};
  node.shape = {shape(input).channels, height, width, false};
  return append(std::move(node), id);
}

Status Graph::add_upsample(const std::string& name, int input, int height, int width,
                           UpsampleMode mode, bool align_corners, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  if (shape(input).flat) return refuse(name, "needs an image, but its input is flat");
  if (align_corners && mode != UpsampleMode::kBilinear) {
    return refuse(name, "align_corners is for mode 'bilinear' only");
  }
  Node node;
  node.op = Op::kUpsample;
  node.name = name;
  node.inputs = {input};
  node.shape = {shape(input).channels, height, width, false};
  node.upsample_mode = mode;
  node.align_corners = align_corners;
  return append(std::move(node), id);
}

Status Graph::add_softmax(const std::string& name, int input, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  AIO_RETURN_IF_ERROR(order_features(name, input, &input));
  Node node;
  node.op = Op::kSoftmax;
  node.name = name;
  node.inputs = {input};
  node.shape = shape(input);
  return append(std::move(node), id);
}

Status Graph::add_layer_norm(const std::string& name, int input, float eps, NormOver over,
                             Floats weight, Floats bias, int* id) {
  AIO_RETURN_IF_ERROR(check_value(name, input));
  if (!std::isfinite(eps) || eps < 0.0f) {
    return refuse(name, "eps " + std::to_string(eps) + " must be finite and at least 0");
  }
  const Shape& in = shape(input);
  if (in.flat && over == NormOver::kChannels) {
    return refuse(name, "normalises channels, but its input is flat; use over='sample'");
  }
  const int64_t expected = over == NormOver::kSample ? in.size() : in.channels;
  if (!weight.empty()) AIO_RETURN_IF_ERROR(check_size(name, "weight", weight.size(), expected));
  if (!bias.empty()) AIO_RETURN_IF_ERROR(check_size(name, "bias", bias.size(), expected));
  Node node;
  node.op = Op::kLayerNorm;
  node.name = name;
  node.inputs = {input};
  node.shape = in;
  node.eps = eps;
  node.norm_over = over;
  node.scale = std::move(weight);
  node.bias = std::move(bias);
  return append(std::move(node), id);
}

}  // namespace aio
