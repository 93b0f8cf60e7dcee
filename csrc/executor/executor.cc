// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/executor.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <utility>

#include "csrc/executor/chain_plan.h"
#include "csrc/executor/planes.h"
#include "csrc/executor/row_step.h"
#include "csrc/kernels/block_layout.h"

namespace aio {
namespace {

using Clock = std::chrono::steady_clock;

double nanoseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::nano>(duration).count();
}

// Such a convolution is a linear layer: those of squeeze-and-excitation blocks read one pixel.
bool makes_one_pixel_of_all(const Node& node, const BufferLayout& in) {
  const Window2d& w = node.window;
  const bool dilated = (w.dilation_h > 1 && w.kernel_h > 1) || (w.dilation_w > 1 && w.kernel_w > 1);
  return node.weights.groups == 1 && w.kernel_h == in.height && w.kernel_w == in.width &&
         w.pad_top + w.pad_left + w.pad_bottom + w.pad_right == 0 && !dilated;
}

std::unique_ptr<Step> make_step(const Graph& graph, const Plan& plan, const PlannedStep& planned,
                                int threads, Isa isa) {
  const Node& node = graph.nodes()[static_cast<size_t>(planned.node)];
  switch (node.op) {
    case Op::kConv2d:
      if (makes_one_pixel_of_all(node, plan.buffer(planned.inputs[0]))) {
        return make_linear_step(graph, plan, planned, isa);
      }
      return make_conv_step(graph, plan, planned, threads, isa);
    case Op::kLinear:
      return make_linear_step(graph, plan, planned, isa);
    case Op::kMaxPool2d:
    case Op::kAvgPool2d:
    case Op::kAdaptiveMaxPool2d:
    case Op::kAdaptiveAvgPool2d:
      return make_pool_step(graph, plan, planned, isa);
    case Op::kAffine:
      return make_affine_step(graph, plan, planned, isa);
    case Op::kUpsample:
      return make_upsample_step(graph, plan, planned, isa);
    case Op::kSoftmax:
      return make_softmax_step(graph, plan, planned, isa);
    case Op::kLayerNorm:
      return make_layer_norm_step(graph, plan, planned, isa);
    case Op::kConcat:
      return make_concat_step(graph, plan, planned);
    case Op::kAdd:
    case Op::kMul:
    case Op::kActivation:
    case Op::kInput:
    case Op::kFlatten:
      break;
  }
  return make_elementwise_step(graph, plan, planned, isa);
}

Status check_level(int level, int levels) {
  if (level >= 0 && level < levels) return Status::ok();
  return Status::error("level " + std::to_string(level) +
                       " does not exist; the model has levels 0 to " + std::to_string(levels - 1));
}

std::vector<int> find_inputs(const Graph& graph) {
  std::vector<int> inputs;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (graph.nodes()[i].op == Op::kInput) inputs.push_back(static_cast<int>(i));
  }
  return inputs;
}

std::vector<Shape> shapes_of(const Graph& graph, const std::vector<int>& values) {
  std::vector<Shape> shapes;
  shapes.reserve(values.size());
  for (const int value : values) shapes.push_back(graph.nodes()[static_cast<size_t>(value)].shape);
  return shapes;
}

// Of the values that a step takes and makes, one sample's, without padding.
int64_t activation_bytes(const Graph& graph, const PlannedStep& planned) {
  std::vector<int> values = planned.inputs;
  values.push_back(planned.output);
  if (planned.residual != kNoValue) values.push_back(planned.residual);
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  int64_t floats = 0;
  for (const int value : values) floats += graph.nodes()[static_cast<size_t>(value)].shape.size();
  return floats * int64_t{sizeof(float)};
}

}  // namespace

LayerInfo describe_node(const Node& node, const std::string& kernel, int levels) {
  LayerInfo info;
  info.name = node.name;
  info.op = op_name(node.op);
  info.kernel = kernel;
  info.kernels.assign(static_cast<size_t>(levels), kernel);
  info.output_shape = node.shape;
  info.macs.assign(static_cast<size_t>(levels), 0);
  info.nonzero_weights.assign(static_cast<size_t>(levels), 0);
  info.weight_bytes.assign(static_cast<size_t>(levels), 0);
  return info;
}

int block_channels(int channels) {
  return (channels + kChannelPad - 1) / kChannelPad * kChannelPad;
}

void zero_halo(const BufferLayout& buffer, float* arena) {
  float* begin = arena + buffer.arena_offset;
  float* image = arena + buffer.origin() - buffer.channel_offset;
  const ptrdiff_t width = buffer.width * buffer.col();
  const ptrdiff_t gap = buffer.row() - width;  // right halo of one row and left halo of the next
  if (gap == 0 && buffer.halo_top == 0 && buffer.halo_bottom == 0) return;
  std::fill(begin, image, 0.0f);
  for (int y = 0; y + 1 < buffer.height; ++y) {
    float* edge = image + y * buffer.row() + width;
    std::fill(edge, edge + gap, 0.0f);
  }
  std::fill(image + (buffer.height - 1) * buffer.row() + width, begin + buffer.size, 0.0f);
}

Status Executor::create(Graph graph, int threads, Isa isa, std::unique_ptr<Executor>* executor,
                        int64_t min_chained_bytes) {
  constexpr int kMaxThreads = 1024;
  if (threads < 1 || threads > kMaxThreads) {
    return Status::error("threads=" + std::to_string(threads) + " is outside [1, " +
                         std::to_string(kMaxThreads) + "]");
  }
  Plan plan;
  AIO_RETURN_IF_ERROR(make_plan(graph, &plan, min_chained_bytes));
  executor->reset(new Executor(&graph, std::move(plan), threads, isa));
  return Status::ok();
}

Executor::Executor(Graph* graph, Plan plan, int threads, Isa isa)
    : plan_(std::move(plan)),
      isa_(isa),
      inputs_(find_inputs(*graph)),
      outputs_(graph->outputs()),
      input_shapes_(shapes_of(*graph, inputs_)),
      output_shapes_(shapes_of(*graph, outputs_)),
      arena_(static_cast<size_t>(plan_.arena_size)),
      pool_(threads) {
  for (const PlannedStep& planned : plan_.steps) {
    steps_.push_back(make_step(*graph, plan_, planned, threads, isa));
    activation_bytes_.push_back(activation_bytes(*graph, planned));
    graph->drop_weights(planned.node);
  }
  make_chains(*graph);
  int64_t scratch = 0;
  for (const auto& step : steps_) scratch = std::max(scratch, step->scratch_floats());
  scratch_ = AlignedBuffer<float>(static_cast<size_t>(scratch));
  for (int level = 0; level < graph->levels(); ++level) {
    uniform_.emplace_back(std::max<size_t>(steps_.size(), 1), level);
  }
  for (size_t i = 0; i < steps_.size(); ++i) {
    for (int part = 0; part < steps_[i]->parts(); ++part) {
      units_.push_back({static_cast<int>(i), part});
    }
  }
  planned_.assign(units_.size(), 0);
  mixed_.assign(steps_.size(), 0);
  layer_ns_.assign(steps_.size(), 0);
  level_of_step_ = uniform_[0].data();
}

void Executor::make_chains(const Graph& graph) {
  chains_.resize(steps_.size());
  for (const ChainRange& range : plan_.chains) {
    std::vector<BandedChain::Operands> operands;
    for (int i = range.first; i <= range.last; ++i) {
      const PlannedStep& planned = plan_.steps[static_cast<size_t>(i)];
      const bool has_residual = planned.residual != kNoValue;
      operands.push_back({steps_[static_cast<size_t>(i)]->by_rows(),
                          plan_.buffer(planned.inputs[0]),
                          has_residual ? plan_.buffer(planned.residual) : BufferLayout()});
    }
    const bool complete =
        std::all_of(operands.begin(), operands.end(),
                    [](const BandedChain::Operands& o) { return o.step != nullptr; });
    if (!complete) continue;
    chains_[static_cast<size_t>(range.first)] =
        BandedChain::create(chain_links(graph, plan_, range), std::move(operands), pool_.threads());
  }
}

// The chain that begins with the step, if it is to be used; levels[i] is that of step i.
const BandedChain* Executor::chain_at(int step, const int* levels) const {
  const BandedChain* const chain = chains_[static_cast<size_t>(step)].get();
  return chain != nullptr && chain->pays(levels + step) ? chain : nullptr;
}

Status Executor::set_level(int level) {
  AIO_RETURN_IF_ERROR(check_level(level, levels()));
  level_of_step_.store(uniform_[static_cast<size_t>(level)].data(), std::memory_order_release);
  return Status::ok();
}

Status Executor::set_layer_levels(const std::vector<int>& levels) {
  if (levels.size() != steps_.size()) {
    return Status::error("got " + std::to_string(levels.size()) + " levels for " +
                         std::to_string(steps_.size()) + " layers");
  }
  for (const int level : levels) AIO_RETURN_IF_ERROR(check_level(level, this->levels()));
  std::lock_guard<std::mutex> lock(mutex_);
  mixed_ = levels;
  level_of_step_.store(mixed_.data(), std::memory_order_release);
  return Status::ok();
}

void Executor::run(const float* const* inputs, int64_t batch, float* const* outputs) {
  std::lock_guard<std::mutex> lock(mutex_);
  const int* levels = level_of_step_.load(std::memory_order_acquire);
  const bool timed = profiling_.load(std::memory_order_relaxed);
  if (timed) std::fill(layer_ns_.begin(), layer_ns_.end(), 0);
  for (int64_t n = 0; n < batch; ++n) {
    load_inputs(inputs, n);
    timed ? run_steps_timed(levels) : run_steps(levels);
    store_outputs(n, outputs);
  }
}

Status Executor::set_pace(std::vector<double> cost_ns, std::vector<int> allowed) {
  const size_t expected = static_cast<size_t>(levels()) * steps_.size();
  if (cost_ns.size() != expected) {
    return Status::error("got " + std::to_string(cost_ns.size()) + " costs, expected " +
                         std::to_string(expected) + ": one per level and layer");
  }
  std::vector<double> unit_costs;
  for (int level = 0; level < levels(); ++level) {
    const double* costs = cost_ns.data() + static_cast<size_t>(level) * steps_.size();
    for (const Unit& unit : units_) {
      unit_costs.push_back(costs[unit.step] / steps_[static_cast<size_t>(unit.step)]->parts());
    }
  }
  PaceTable table;
  AIO_RETURN_IF_ERROR(PaceTable::create(levels(), static_cast<int>(units_.size()),
                                        std::move(unit_costs), std::move(allowed), &table));
  std::lock_guard<std::mutex> lock(mutex_);
  pace_table_ = std::move(table);
  pace_ = Pace(&pace_table_);
  return Status::ok();
}

Status Executor::run_paced(const float* const* inputs, int64_t batch, float* const* outputs,
                           const PaceRequest& request, PaceReport* report) {
  AIO_RETURN_IF_ERROR(check_request(request));
  std::lock_guard<std::mutex> lock(mutex_);
  if (pace_table_.levels() == 0) return Status::error("a paced run needs set_pace first");
  const int* levels = level_of_step_.load(std::memory_order_acquire);
  for (size_t i = 0; i < units_.size(); ++i) planned_[i] = levels[units_[i].step];
  const auto begin = Clock::now();
  *report = PaceReport();
  for (int64_t n = 0; n < batch; ++n) {
    const auto sample_begin = n == 0 ? begin : Clock::now();
    const double elapsed_ns = nanoseconds(sample_begin - begin);
    PaceRequest sample = request;
    sample.budget_ns =
        std::max(0.0, request.budget_ns - elapsed_ns) / static_cast<double>(batch - n);
    // The samples so far say more of this one than what was known before them; the first counts
    // like one sample more.
    if (n > 0) {
      const double one_ns = report->expected_ns / static_cast<double>(n);
      sample.slowdown = (elapsed_ns + request.slowdown * one_ns) / (report->expected_ns + one_ns);
    }
    pace_.begin(planned_.data(), sample);
    load_inputs(inputs, n);
    run_steps_paced(sample_begin);
    store_outputs(n, outputs);
    report->expected_ns += pace_.expected_ns();
    report->replans += pace_.replans();
  }
  report->elapsed_ns = nanoseconds(Clock::now() - begin);
  return Status::ok();
}

std::vector<int> Executor::paced_levels() {
  std::lock_guard<std::mutex> lock(mutex_);
  return pace_.levels();
}

void Executor::run_steps_paced(std::chrono::steady_clock::time_point begin) {
  const RunContext context{arena_.data(), scratch_.data(), &pool_};
  const int units = static_cast<int>(units_.size());
  for (int i = 0; i < units; ++i) {
    if (pace_.due()) pace_.check(i, nanoseconds(Clock::now() - begin));
    const Unit& unit = units_[static_cast<size_t>(i)];
    if (unit.part == 0 && chains_[static_cast<size_t>(unit.step)] != nullptr) {
      const int last = run_chain_paced(context, i);
      if (last > i) {
        i = last - 1;
        continue;
      }
    }
    steps_[static_cast<size_t>(unit.step)]->run_part(context, pace_.next(i), unit.part);
  }
}

// Runs the chain that begins with the unit, unless it does not pay or one of its steps has several
// levels. Returns the unit after the last one that was run.
int Executor::run_chain_paced(const RunContext& context, int first) {
  const int step = units_[static_cast<size_t>(first)].step;
  const size_t size = chains_[static_cast<size_t>(step)]->size();
  std::array<int, kMaxChain> levels{};
  int end = first;
  for (; end < static_cast<int>(units_.size()); ++end) {
    const Unit& unit = units_[static_cast<size_t>(end)];
    const size_t link = static_cast<size_t>(unit.step - step);
    if (link >= size) break;
    const int level = pace_.levels()[static_cast<size_t>(end)];
    if (unit.part == 0) levels[link] = level;
    if (level != levels[link]) return first;
  }
  if (!chains_[static_cast<size_t>(step)]->pays(levels.data())) return first;
  for (int i = first; i < end; ++i) pace_.next(i);
  chains_[static_cast<size_t>(step)]->run(context, levels.data(), nullptr);
  return end;
}

void Executor::run_steps(const int* levels) {
  const RunContext context{arena_.data(), scratch_.data(), &pool_};
  for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
    if (const BandedChain* chain = chain_at(i, levels)) {
      chain->run(context, levels + i, nullptr);
      i += static_cast<int>(chain->size()) - 1;
    } else {
      steps_[static_cast<size_t>(i)]->run(context, levels[i]);
    }
  }
}

void Executor::run_steps_timed(const int* levels) {
  const RunContext context{arena_.data(), scratch_.data(), &pool_};
  auto before = Clock::now();
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (const BandedChain* chain = chain_at(static_cast<int>(i), levels)) {
      chain->run(context, levels + i, &layer_ns_[i]);
      i += chain->size() - 1;
      before = Clock::now();
      continue;
    }
    steps_[i]->run(context, levels[i]);
    const auto now = Clock::now();
    layer_ns_[i] += std::chrono::duration_cast<std::chrono::nanoseconds>(now - before).count();
    before = now;
  }
}

void Executor::load_inputs(const float* const* inputs, int64_t sample) {
  const RunContext context{arena_.data(), scratch_.data(), &pool_};
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Shape& shape = input_shapes_[i];
    load_planes(context, inputs[i] + sample * shape.size(), shape, plan_.buffer(inputs_[i]));
  }
}

void Executor::store_outputs(int64_t sample, float* const* outputs) const {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Shape& shape = output_shapes_[i];
    store_planes(arena_.data(), plan_.buffer(outputs_[i]), shape,
                 outputs[i] + sample * shape.size());
  }
}

std::vector<int64_t> Executor::layer_ns() {
  std::lock_guard<std::mutex> lock(mutex_);
  return layer_ns_;
}

std::vector<LayerInfo> Executor::layers() const {
  std::vector<LayerInfo> layers;
  layers.reserve(steps_.size());
  for (size_t i = 0; i < steps_.size(); ++i) {
    layers.push_back(steps_[i]->info());
    layers.back().parts = steps_[i]->parts();
    layers.back().activation_bytes = activation_bytes_[i];
  }
  return layers;
}

size_t Executor::weight_bytes() const {
  size_t bytes = 0;
  for (const auto& step : steps_) bytes += step->weight_bytes();
  return bytes;
}

}  // namespace aio
