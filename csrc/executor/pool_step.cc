// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "csrc/executor/row_step.h"
#include "csrc/kernels/pool/pool.h"

namespace aio {
namespace {

// Below this many window elements a layer is faster on one thread than the hand-over takes.
constexpr int64_t kMinParallelElements = 64 * 1024;
// The kernels take four blocks of channels at a time.
constexpr int kPartChannels = 64;

class PoolStep final : public RowStep {
 public:
  PoolStep(const Graph& graph, const Plan& plan, const PlannedStep& planned, Isa isa)
      : levels_(graph.levels()),
        node_(graph.nodes()[static_cast<size_t>(planned.node)]),
        in_(plan.buffer(planned.inputs[0])),
        out_(plan.buffer(planned.output)),
        kernels_(select_pool(isa)) {
    const Window2d& w = node_.window;
    pool_.in_height = in_.height;
    pool_.in_width = in_.width;
    pool_.in_row = in_.row();
    pool_.in_col = in_.col();
    pool_.out_height = out_.height;
    pool_.out_width = out_.width;
    pool_.out_row = out_.row();
    pool_.out_col = out_.col();
    pool_.channels = block_channels(node_.shape.channels);
    pool_.kernel_h = w.kernel_h;
    pool_.kernel_w = w.kernel_w;
    pool_.stride_h = w.stride_h;
    pool_.stride_w = w.stride_w;
    pool_.pad_top = w.pad_top;
    pool_.pad_left = w.pad_left;
    pool_.pad_bottom = w.pad_bottom;
    pool_.pad_right = w.pad_right;
    pool_.count_include_pad = node_.count_include_pad;
    pool_.adaptive = node_.op == Op::kAdaptiveMaxPool2d || node_.op == Op::kAdaptiveAvgPool2d;
  }

  void run(const RunContext& context, int /*level*/) const override {
    zero_halo(out_, context.arena);
    Job job{pool_fn(), pool_, out_.height < context.pool->threads()};
    job.pool.in = context.arena + in_.origin();
    job.pool.out = context.arena + out_.origin();
    // Few rows, as of a global pooling, are shared out by their channels.
    const int64_t parts =
        job.by_channels ? (pool_.channels + kPartChannels - 1) / kPartChannels : out_.height;
    context.pool->parallel_for(
        parts, window_elements() < kMinParallelElements ? parts : 1,
        [](const void* data, int64_t begin, int64_t end) {
          const Job* work = static_cast<const Job*>(data);
          work->by_channels ? run_channels(*work, begin, end)
                            : work->fn(work->pool, static_cast<int>(begin), static_cast<int>(end));
        },
        &job);
  }

  bool makes_rows(int /*level*/) const override { return !pool_.adaptive; }

  void run_rows(float* arena, const Origins& origins, int /*level*/, RowRange rows) const override {
    Pool2d pool = pool_;
    pool.in = arena + origins.in;
    pool.out = arena + origins.out;
    pool_fn()(pool, rows.begin, rows.end);
  }

  void prepare_rows(int /*count*/) override {}

  int64_t macs(int /*level*/) const override { return window_elements(); }

  int64_t level_bytes(int /*level*/) const override { return 0; }

  LayerInfo info() const override { return describe_node(node_, kernels_->name, levels_); }

 private:
  struct Job {
    PoolFn fn;
    Pool2d pool;
    bool by_channels;  // a part is some channels, all rows; else the reverse
  };

  PoolFn pool_fn() const {
    const bool is_max = node_.op == Op::kMaxPool2d || node_.op == Op::kAdaptiveMaxPool2d;
    return is_max ? kernels_->max : kernels_->avg;
  }

  int64_t window_elements() const {
    if (pool_.adaptive) {  // about: windows may overlap
      return std::max(node_.shape.size(), int64_t{in_.height} * in_.width * node_.shape.channels);
    }
    return node_.shape.size() * node_.window.kernel_h * node_.window.kernel_w;
  }

  static void run_channels(const Job& job, int64_t begin, int64_t end) {
    const int64_t first = begin * kPartChannels;
    Pool2d pool = job.pool;
    pool.in += first;
    pool.out += first;
    pool.channels = static_cast<int>(std::min<int64_t>(end * kPartChannels, pool.channels) - first);
    job.fn(pool, 0, pool.out_height);
  }

  int levels_;
  Node node_;
  BufferLayout in_;
  BufferLayout out_;
  const PoolKernels* kernels_;
  Pool2d pool_{};
};

}  // namespace

std::unique_ptr<Step> make_pool_step(const Graph& graph, const Plan& plan,
                                     const PlannedStep& planned, Isa isa) {
  return std::make_unique<PoolStep>(graph, plan, planned, isa);
}

}  // namespace aio
