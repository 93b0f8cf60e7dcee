// SPDX-License-Identifier: Apache-2.0
//
// A network as a list of nodes in execution order. Building checks shapes and attributes; nothing
// is planned or packed here. A value is known by the index of the node that makes it.
#ifndef AIO_CSRC_EXECUTOR_GRAPH_H_
#define AIO_CSRC_EXECUTOR_GRAPH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/base/status.h"
#include "csrc/executor/floats.h"
#include "csrc/kernels/activation.h"
#include "csrc/kernels/block_layout.h"

namespace aio {

enum class Op {
  kInput,
  kConv2d,
  kLinear,
  kAdd,
  kMul,
  kAffine,
  kActivation,
  kMaxPool2d,
  kAvgPool2d,
  kAdaptiveMaxPool2d,
  kAdaptiveAvgPool2d,
  kUpsample,
  kSoftmax,
  kLayerNorm,
  kConcat,
  kFlatten,
};

const char* op_name(Op op);

// One sample of a value. A flat value keeps the layout of the image it was made from: its features
// are numbered channel by channel (as torch.flatten does), wherever they lie.
struct Shape {
  int channels = 0;
  int height = 0;
  int width = 0;
  bool flat = false;

  int64_t size() const { return int64_t{channels} * height * width; }
  bool same_image(const Shape& other) const {
    return channels == other.channels && height == other.height && width == other.width;
  }
};

struct Window2d {
  int kernel_h = 1;
  int kernel_w = 1;
  int stride_h = 1;
  int stride_w = 1;
  int pad_top = 0;
  int pad_left = 0;
  int pad_bottom = 0;
  int pad_right = 0;
  int dilation_h = 1;
  int dilation_w = 1;
};

// Weights of a conv2d or linear node. `scale` and `bias` are levels x out_channels; empty means 1
// and 0. Without scores the layer is dense at every level.
struct LayerWeights {
  int out_channels = 0;
  int in_channels = 0;  // that one output channel reads: those of its group
  int kernel_h = 1;
  int kernel_w = 1;
  int groups = 1;  // of equally many input and output channels; a linear layer has one
  Floats weight;   // out x in x kernel_h x kernel_w
  BlockLayout layout;
  Floats score;      // blocks x in x kernel_h x kernel_w, or empty
  Floats threshold;  // levels, or empty
  Floats scale;
  Floats bias;

  // Each output channel reads the one input channel of its number.
  bool is_depthwise() const { return groups > 1 && in_channels == 1 && out_channels == groups; }
};

enum class UpsampleMode { kNearest, kBilinear };

// What layer normalisation takes the mean and variance of: the whole sample, or each pixel.
enum class NormOver { kSample, kChannels };

struct Node {
  Op op = Op::kInput;
  std::string name;
  std::vector<int> inputs;
  Shape shape;
  Window2d window;
  Activation activation = Activation::kNone;
  float negative_slope = 0.0f;  // of leaky ReLU
  bool count_include_pad = true;
  UpsampleMode upsample_mode = UpsampleMode::kNearest;
  bool align_corners = false;  // bilinear: the centres of the corner pixels fall together
  NormOver norm_over = NormOver::kSample;
  float eps = 0.0f;  // of layer normalisation
  LayerWeights weights;
  // Of an affine node, levels x channels; of layer normalisation its weight and bias, in the order
  // of the features that they belong to. Empty means 1 and 0.
  Floats scale;
  Floats bias;
};

class Graph {
 public:
  explicit Graph(int levels) : levels_(levels) {}

  // Each adds a node and sets *id to its value. A refusal names the node and what does not fit.
  Status add_input(const std::string& name, int channels, int height, int width, int* id);
  Status add_conv2d(const std::string& name, int input, LayerWeights weights,
                    const Window2d& window, int* id);
  Status add_linear(const std::string& name, int input, LayerWeights weights, int* id);
  Status add_flat_input(const std::string& name, int features, int* id);
  // Of equal shapes, or of an image and one pixel with its channels, which is broadcast.
  Status add_add(const std::string& name, int a, int b, int* id);
  Status add_mul(const std::string& name, int a, int b, int* id);
  // y = scale * x + bias of a level and channel.
  Status add_affine(const std::string& name, int input, Floats scale, Floats bias, int* id);
  // Along the channels of images of one size, or the features of flat values.
  Status add_concat(const std::string& name, const std::vector<int>& inputs, int* id);
  Status add_upsample(const std::string& name, int input, int height, int width, UpsampleMode mode,
                      bool align_corners, int* id);
  // Over an image's channels, pixel by pixel, or over all features.
  Status add_softmax(const std::string& name, int input, int* id);
  Status add_layer_norm(const std::string& name, int input, float eps, NormOver over, Floats weight,
                        Floats bias, int* id);
  Status add_activation(const std::string& name, int input, Activation activation, int* id,
                        float negative_slope = 0.0f);
  Status add_pool(const std::string& name, Op op, int input, const Window2d& window,
                  bool count_include_pad, int* id);
  // Pools windows of about equal size, so that height x width of them cover the input.
  Status add_adaptive_pool(const std::string& name, Op op, int input, int height, int width,
                           int* id);
  Status add_flatten(const std::string& name, int input, int* id);
  Status add_output(int value);

  // Refuses a graph that cannot run: without input or output.
  Status check_complete() const;

  // Lets a node's weights go: what has packed them needs them no more.
  void drop_weights(int node) {
    Node& packed = nodes_[static_cast<size_t>(node)];
    packed.weights = LayerWeights();
    packed.scale = packed.bias = {};
  }

  int levels() const { return levels_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<int>& outputs() const { return outputs_; }

 private:
  Status check_value(const std::string& name, int value) const;
  Status check_layout(const std::string& name, const LayerWeights& weights) const;
  Status check_weights(const std::string& name, const LayerWeights& weights) const;
  Status check_groups(const std::string& name, const LayerWeights& weights, int channels) const;
  Status window_shape(const std::string& name, const Window2d& window, const Shape& in,
                      Shape* out) const;
  const Shape& shape(int value) const { return nodes_[static_cast<size_t>(value)].shape; }
  Status add_pairwise(const std::string& name, Op op, int a, int b, int* id);
  // A flat value whose features lie in their order: `value`, or a node that puts them so.
  Status order_features(const std::string& name, int value, int* ordered);
  Status append(Node node, int* id);

  int levels_;
  std::vector<Node> nodes_;
  std::vector<int> outputs_;
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_GRAPH_H_
