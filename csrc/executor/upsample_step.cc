// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "csrc/executor/rows.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/upsample/upsample.h"

namespace aio {
namespace {

// In fp32 as torch has it, so that the same pixel is the nearest one.
std::vector<UpsampleTap> nearest_taps(int in, int out) {
  const float step = static_cast<float>(in) / static_cast<float>(out);
  std::vector<UpsampleTap> taps;
  for (int i = 0; i < out; ++i) {
    const int index = std::min(static_cast<int>(static_cast<float>(i) * step), in - 1);
    taps.push_back({index, index, 0.0f});
  }
  return taps;
}

std::vector<UpsampleTap> bilinear_taps(int in, int out, bool align_corners) {
  float step = static_cast<float>(in) / static_cast<float>(out);
  if (align_corners) {
    step = out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0f;
  }
  std::vector<UpsampleTap> taps;
  for (int i = 0; i < out; ++i) {
    const float x = static_cast<float>(i);
    const float place = align_corners ? x * step : std::max((x + 0.5f) * step - 0.5f, 0.0f);
    const int first = std::min(static_cast<int>(place), in - 1);
    const float weight = std::min(std::max(place - static_cast<float>(first), 0.0f), 1.0f);
    taps.push_back({first, std::min(first + 1, in - 1), weight});
  }
  return taps;
}

class UpsampleStep final : public Step {
 public:
  UpsampleStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        nearest_(node_.upsample_mode == UpsampleMode::kNearest),
        kernel_(select_upsample(isa)) {
    rows_ = nearest_ ? nearest_taps(in_.height, out_.height)
                     : bilinear_taps(in_.height, out_.height, node_.align_corners);
    cols_ = nearest_ ? nearest_taps(in_.width, out_.width)
                     : bilinear_taps(in_.width, out_.width, node_.align_corners);
  }

  void run(const RunContext& context, int /*level*/) const override {
    zero_halo(out_, context.arena);
    run_rows(context, node_.shape, out_.height, [&](int64_t y) {
      nearest_ ? copy_row(context.arena, y) : blend_row(context.arena, y);
    });
  }

  LayerInfo info() const override {
    return describe_node(node_, nearest_ ? "copy" : kernel_->name, levels_);
  }

 private:
  void copy_row(float* arena, int64_t y) const {
    const float* in = arena + in_.origin() + rows_[static_cast<size_t>(y)].first * in_.row();
    float* out = arena + out_.origin() + y * out_.row();
    for (const UpsampleTap& tap : cols_) {
      std::copy_n(in + tap.first * in_.col(), node_.shape.channels, out);
      out += out_.col();
    }
  }

  void blend_row(float* arena, int64_t y) const {
    const UpsampleTap& tap = rows_[static_cast<size_t>(y)];
    UpsampleRow row{};
    row.top = arena + in_.origin() + tap.first * in_.row();
    row.bottom = arena + in_.origin() + tap.second * in_.row();
    row.weight = tap.weight;
    row.in_col = in_.col();
    row.out = arena + out_.origin() + y * out_.row();
    row.out_col = out_.col();
    row.taps = cols_.data();
    row.pixels = out_.width;
    row.channels = block_channels(node_.shape.channels);
    kernel_->fn(row);
  }

  int levels_;
  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  bool nearest_;
  const UpsampleKernel* kernel_;
  std::vector<UpsampleTap> rows_;
  std::vector<UpsampleTap> cols_;
};

}  // namespace

std::unique_ptr<Step> make_upsample_step(const Graph& graph, const Plan& plan,
                                         const PlannedStep& planned, Isa isa) {
  return std::make_unique<UpsampleStep>(graph, plan, planned, isa);
}

}  // namespace aio
