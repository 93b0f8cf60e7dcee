// SPDX-License-Identifier: Apache-2.0
//
// One step of a planned network. Steps are made when the plan is built; running one allocates
// nothing.
#ifndef AIO_CSRC_EXECUTOR_STEP_H_
#define AIO_CSRC_EXECUTOR_STEP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "csrc/base/isa.h"
#include "csrc/base/thread_pool.h"
#include "csrc/executor/graph.h"
#include "csrc/executor/planner.h"

namespace aio {

// What users may ask about a layer. Counts are per sample; vectors have one entry per level.
struct LayerInfo {
  std::string name;
  std::string op;
  std::string kernel;
  std::vector<std::string> kernels;  // by level, where that decides which one runs
  Shape output_shape;
  bool sparse = false;
  int parts = 1;  // that may run at levels of their own, one after the other
  std::vector<int64_t> macs;
  std::vector<int64_t> nonzero_weights;
  int64_t prunable_weights = 0;
  // What has to be read and written at least: kept weights with their offsets, by level, and the
  // values a step takes and makes, each once and without padding.
  std::vector<int64_t> weight_bytes;
  int64_t activation_bytes = 0;
};

struct RunContext {
  float* arena;
  float* scratch;  // as large as the step's scratch_floats(); holds anything
  ThreadPool* pool;
};

class RowStep;

// Below this many multiply-adds a layer stays on one thread: some 9 us of work, of which the
// meeting of two threads that share a cache takes less than one. Where they share none, a network
// of small layers such as MobileNetV2 is not faster on two threads, whatever the limit.
constexpr int64_t kMinParallelMacs = 512 * 1024;

class Step {
 public:
  virtual ~Step() = default;

  // Runs at `level`, which a step without values of a level's own ignores.
  virtual void run(const RunContext& context, int level) const = 0;
  // A long step can be run in parts, one after the other and each at a level of its own: a part
  // makes some of the output channels.
  virtual int parts() const { return 1; }
  virtual void run_part(const RunContext& context, int level, int /*part*/) const {
    run(context, level);
  }
  virtual LayerInfo info() const = 0;
  virtual size_t weight_bytes() const { return 0; }
  virtual int64_t scratch_floats() const { return 0; }
  // Null for a step that can't make single rows.
  virtual RowStep* by_rows() { return nullptr; }
};

// A step's description with all counts 0, as for a node without weights.
LayerInfo describe_node(const Node& node, const std::string& kernel, int levels);

// Channels rounded up to whole blocks: what kernels read and write of a pixel.
int block_channels(int channels);

// Zeroes the border of a buffer, so that convolutions may read over the image's edge.
void zero_halo(const BufferLayout& buffer, float* arena);

std::unique_ptr<Step> make_conv_step(const Graph& graph, const Plan& plan,
                                     const PlannedStep& planned, int threads, Isa isa);
std::unique_ptr<Step> make_depthwise_step(const Graph& graph, const Plan& plan,
                                          const PlannedStep& planned, Isa isa);
std::unique_ptr<Step> make_linear_step(const Graph& graph, const Plan& plan,
                                       const PlannedStep& planned, Isa isa);
std::unique_ptr<Step> make_pool_step(const Graph& graph, const Plan& plan,
                                     const PlannedStep& planned, Isa isa);
std::unique_ptr<Step> make_elementwise_step(const Graph& graph, const Plan& plan,
                                            const PlannedStep& planned, Isa isa);
std::unique_ptr<Step> make_affine_step(const Graph& graph, const Plan& plan,
                                       const PlannedStep& planned, Isa isa);
std::unique_ptr<Step> make_concat_step(const Graph& graph, const Plan& plan,
                                       const PlannedStep& planned);
std::unique_ptr<Step> make_upsample_step(const Graph& graph, const Plan& plan,
                                         const PlannedStep& planned, Isa isa);
std::unique_ptr<Step> make_softmax_step(const Graph& graph, const Plan& plan,
                                        const PlannedStep& planned, Isa isa);
std::unique_ptr<Step> make_layer_norm_step(const Graph& graph, const Plan& plan,
                                           const PlannedStep& planned, Isa isa);

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_STEP_H_
