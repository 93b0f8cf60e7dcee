// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "csrc/executor/rows.h"
#include "csrc/executor/step.h"

namespace aio {
namespace {

// Copies the values that were not made in place.
class ConcatStep final : public Step {
 public:
  ConcatStep(const Graph& graph, const Plan& plan, const PlannedStep& planned)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        out_(plan.buffer(planned.output)) {
    const ChannelRange all = plan.range(planned.output);
    int channel = 0;
    for (const int input : node_.inputs) {
      const Shape& shape = graph.nodes()[static_cast<size_t>(input)].shape;
      const BufferLayout& in = plan.buffer(input);
      const ChannelRange made_in_place{all.whole, all.begin + channel};
      if (!(plan.range(input) == made_in_place)) parts_.push_back({in, shape.channels, channel});
      channel += node_.shape.flat ? static_cast<int>(shape.size()) : shape.channels;
    }
  }

  void run(const RunContext& context, int /*level*/) const override {
    zero_halo(out_, context.arena);
    run_rows(context, node_.shape, out_.height, [&](int64_t y) {
      for (const Part& part : parts_) copy_row(context.arena, part, y);
    });
  }

  LayerInfo info() const override { return describe_node(node_, "copy", levels_); }

 private:
  struct Part {
    BufferLayout in;
    int channels;
    int begin;  // its first channel or feature in the output
  };
  void copy_row(float* arena, const Part& part, int64_t y) const {
    const float* in = arena + part.in.origin();
    float* out = arena + out_.origin() + y * out_.row() + part.begin;
    if (part.in.height != out_.height || part.in.width != out_.width) {
      copy_features(part, in, out);
      return;
    }
    in += y * part.in.row();
    for (int x = 0; x < out_.width; ++x) {
      std::copy_n(in + x * part.in.col(), part.channels, out + x * out_.col());
    }
  }

  // Features are numbered channel by channel, but lie pixel by pixel.
  static void copy_features(const Part& part, const float* in, float* out) {
    for (int y = 0; y < part.in.height; ++y) {
      for (int x = 0; x < part.in.width; ++x) {
        const float* pixel = in + y * part.in.row() + x * part.in.col();
        float* feature = out + int64_t{y} * part.in.width + x;
        const int64_t pixels = int64_t{part.in.height} * part.in.width;
        for (int c = 0; c < part.channels; ++c) feature[c * pixels] = pixel[c];
      }
    }
  }

  int levels_;
  Node node_;
  BufferLayout out_;
  std::vector<Part> parts_;
};

}  // namespace

std::unique_ptr<Step> make_concat_step(const Graph& graph, const Plan& plan,
                                       const PlannedStep& planned) {
  return std::make_unique<ConcatStep>(graph, plan, planned);
}

}  // namespace aio
