// SPDX-License-Identifier: Apache-2.0
//
// Runs a planned network. Weights are packed once for all levels; `run` allocates nothing, and a
// change of level swaps one pointer.
#ifndef AIO_CSRC_EXECUTOR_EXECUTOR_H_
#define AIO_CSRC_EXECUTOR_EXECUTOR_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "csrc/base/aligned.h"
#include "csrc/base/isa.h"
#include "csrc/base/status.h"
#include "csrc/base/thread_pool.h"
#include "csrc/executor/banded_chain.h"
#include "csrc/executor/graph.h"
#include "csrc/executor/pace.h"
#include "csrc/executor/planner.h"
#include "csrc/executor/step.h"

namespace aio {

// How a paced run went, all samples together. `expected_ns` is what the table says of the levels
// that were used, without the slowdown.
struct PaceReport {
  double elapsed_ns = 0.0;
  double expected_ns = 0.0;
  int replans = 0;
};

class Executor {
 public:
  // Plans and packs; `threads` counts the caller. A layer's weights are let go as soon as they are
  // packed, so a graph that is moved in never lies in memory beside all of its packed form.
  // `min_chained_bytes` is that of make_plan().
  static Status create(Graph graph, int threads, Isa isa, std::unique_ptr<Executor>* executor,
                       int64_t min_chained_bytes = kMinChainedBytes);

  // Runs `batch` samples. inputs[i] is batch x input_shapes()[i] in NCHW order; outputs[i] receives
  // batch x output_shapes()[i], in NCHW order too. Calls from several threads are serialised.
  void run(const float* const* inputs, int64_t batch, float* const* outputs);

  // Sets what paced runs hold the time against: the cost of every layer at every level, shared
  // equally among its parts, and the levels a re-plan may use.
  Status set_pace(std::vector<double> cost_ns, std::vector<int> allowed);

  // Like `run`, and keeps `request`, whose budget is for all samples together: a sample has an
  // equal part of the time that is left. Refused before set_pace.
  Status run_paced(const float* const* inputs, int64_t batch, float* const* outputs,
                   const PaceRequest& request, PaceReport* report);
  // The level each part of each layer ran at in the last sample of the last paced run.
  std::vector<int> paced_levels();

  // From the next run on, every layer uses `level`. O(1), from any thread.
  Status set_level(int level);
  // From the next run on, layer i of layers() uses levels[i].
  Status set_layer_levels(const std::vector<int>& levels);

  void set_profiling(bool enabled) { profiling_ = enabled; }
  // Nanoseconds per layer in the last profiled run, all samples together.
  std::vector<int64_t> layer_ns();

  std::vector<LayerInfo> layers() const;
  // In the order in which the graph's inputs were added.
  const std::vector<Shape>& input_shapes() const { return input_shapes_; }
  const std::vector<Shape>& output_shapes() const { return output_shapes_; }
  Isa isa() const { return isa_; }
  int threads() const { return pool_.threads(); }
  int levels() const { return static_cast<int>(uniform_.size()); }
  size_t weight_bytes() const;
  // Activations and what steps need while they run.
  size_t arena_bytes() const { return arena_.bytes() + scratch_.bytes(); }

 private:
  Executor(Graph* graph, Plan plan, int threads, Isa isa);

  void load_inputs(const float* const* inputs, int64_t sample);
  void make_chains(const Graph& graph);
  const BandedChain* chain_at(int step, const int* levels) const;
  void run_steps(const int* levels);
  void run_steps_timed(const int* levels);
  void run_steps_paced(std::chrono::steady_clock::time_point begin);
  int run_chain_paced(const RunContext& context, int first);
  void store_outputs(int64_t sample, float* const* outputs) const;

  Plan plan_;
  Isa isa_;
  std::vector<int> inputs_;
  std::vector<int> outputs_;
  std::vector<Shape> input_shapes_;
  std::vector<Shape> output_shapes_;
  AlignedBuffer<float> arena_;
  AlignedBuffer<float> scratch_;  // shared by the steps, one after the other
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<int64_t> activation_bytes_;             // by step
  std::vector<std::unique_ptr<BandedChain>> chains_;  // by their first step; others null
  ThreadPool pool_;

  std::vector<std::vector<int>> uniform_;  // by level: that level for every step
  std::vector<int> mixed_;                 // what set_layer_levels asked for
  std::atomic<const int*> level_of_step_;

  struct Unit {  // what a paced run can give a level of its own
    int step;
    int part;
  };
  std::vector<Unit> units_;
  std::vector<int> planned_;  // by unit
  PaceTable pace_table_;      // by unit; without levels before set_pace
  Pace pace_{&pace_table_};

  std::atomic<bool> profiling_{false};
  std::vector<int64_t> layer_ns_;
  std::mutex mutex_;  // one run at a time; guards mixed_, layer_ns_ and the pace
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_EXECUTOR_H_
