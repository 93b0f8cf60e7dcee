// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/winograd_conv.h"

#include <algorithm>
#include <utility>

namespace aio {
namespace {

// The transformed patches of a strip should stay in the L2 cache while all blocks pass; each strip
// transforms the weights once more.
constexpr int kMaxStripTiles = 56;
// Each thread takes strips of its own if they can be this large; else it takes some of the blocks
// of one strip, so that no weights are transformed twice.
constexpr int kMinStripTiles = 24;
// Input channels whose transformed weights are made at once: 288 KiB for a block.
constexpr int kMaxChannels = 128;

alignas(64) constexpr float kOnes[kLanes] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
alignas(64) constexpr float kZeros[kLanes] = {};

// One cache line more between points: at a multiple of 4 KiB all 36 would compete for one set of
// the L1 cache (ADR 2).
constexpr int64_t kSkew = kLanes;

constexpr int64_t weight_point(int channels) { return int64_t{channels} * kLanes + kSkew; }

int divide_up(int value, int divisor) { return (value + divisor - 1) / divisor; }

int tiles_along(int side) { return divide_up(side, kWinogradTile); }

// The smallest kernel that covers at least `pixels`, or the largest one there is.
const SparseConvKernel* kernel_for(Isa isa, int pixels) {
  size_t count = 0;
  const SparseConvKernel* kernels = sparse_conv_kernels(&count);
  const SparseConvKernel* best = nullptr;
  for (const SparseConvKernel* kernel = kernels; kernel != kernels + count; ++kernel) {
    if (kernel->isa != isa || !(kernel->layout == WinogradConv::kLayout)) continue;
    const int size = kernel->rows * kernel->cols;
    const int best_size = best == nullptr ? 0 : best->rows * best->cols;
    if (best_size < pixels ? size > best_size : size >= pixels && size < best_size) best = kernel;
  }
  return best;
}

}  // namespace

bool WinogradConv::supports(const LayerWeights& weights, const Window2d& window) {
  const int in_channels = weights.in_channels;
  return weights.layout == kLayout && weights.groups == 1 && window.kernel_h == 3 &&
         window.kernel_w == 3 && window.stride_h == 1 && window.stride_w == 1 &&
         window.dilation_h == 1 && window.dilation_w == 1 && in_channels >= kLanes &&
         in_channels * kWinogradTaps < kNotKept;
}

WinogradConv::WinogradConv(const ConvOperands& operands, std::vector<uint16_t> places, int threads,
                           Isa isa)
    : operands_(operands),
      transforms_(select_winograd(isa)),
      places_(std::move(places)),
      threads_(threads),
      channel_groups_(divide_up(operands.in_channels, kLanes)),
      tile_rows_(tiles_along(operands.out.height)),
      tile_cols_(tiles_along(operands.out.width)) {
  const int tiles = tile_rows_ * tile_cols_;
  by_strips_ = threads == 1 || tiles >= threads * kMinStripTiles;
  const int most =
      by_strips_ ? divide_up(tiles, threads * divide_up(tiles, threads * kMaxStripTiles)) : tiles;
  strip_tiles_ = std::min(tiles, most);
  group_tiles(isa);
  const auto channels = static_cast<size_t>(operands.in_channels);
  const auto offset = [&](int channel) {
    return channel / kLanes * padded_strip_tiles_ * kLanes + channel % kLanes;
  };
  offsets_ = PackedOffsets(channels, PackedOffsets::width_for(offset(operands.in_channels - 1)));
  for (size_t i = 0; i < channels; ++i) offsets_.set(i, offset(static_cast<int>(i)));
}

// Equal groups, as large as the largest kernel; the last may cover tiles that do not exist.
void WinogradConv::group_tiles(Isa isa) {
  const SparseConvKernel* largest = kernel_for(isa, kMaxStripTiles);
  int begin = 0;
  while (begin < strip_tiles_) {
    const int left = strip_tiles_ - begin;
    const int calls = divide_up(left, largest->rows * largest->cols);
    const SparseConvKernel* kernel = kernel_for(isa, divide_up(left, calls));
    if (!groups_.empty() && groups_.back().kernel == kernel) {
      ++groups_.back().count;
    } else {
      groups_.push_back({kernel, begin, 1});
    }
    begin += kernel->rows * kernel->cols;
  }
  padded_strip_tiles_ = begin;
  sum_point_ = int64_t{padded_strip_tiles_} * kLanes + kSkew;
  patch_point_ = int64_t{padded_strip_tiles_} * kLanes * channel_groups_ + kSkew;
}

// Measured on one core with AVX-512, in multiply-adds of one vector: the products run at 0.95 of
// the peak, a patch of 16 channels takes 260, a tile of 16 output channels 220. The kernels of one
// input channel for a block take 130 where the layer's weights are in the L2 cache, else 310.
double WinogradConv::cost(const ConvOperands& operands) {
  constexpr double kCacheBytes = 1024 * 1024;
  const int tiles = tiles_along(operands.out.height) * tiles_along(operands.out.width);
  const double strips = divide_up(tiles, kMaxStripTiles);
  const double groups = divide_up(operands.in_channels, kLanes);
  const double blocks = operands.layer->packed().blocks;
  const double kernels = operands.in_channels * blocks;
  const double weight_bytes = kernels * kWinogradTaps * kLanes * 4;
  return kWinogradPoints * tiles * kernels / 0.95 +
         strips * kernels * (weight_bytes > kCacheBytes ? 310 : 130) + tiles * groups * 260 +
         tiles * blocks * 220;
}

int64_t WinogradConv::work_floats() const {
  const int64_t weights = weight_point(std::min(operands_.in_channels, kMaxChannels));
  return kWinogradPoints * (weights + sum_point_);
}

// The transformed patches, for each thread its own or for all the same; then for each thread its
// weights and sums.
int64_t WinogradConv::scratch_floats() const {
  return (by_strips_ ? threads_ : 1) * patch_floats() + threads_ * work_floats();
}

void WinogradConv::run(const RunContext& context, int level) const {
  Job job{this, context.arena, level, 0, 0, context.scratch, nullptr, 0};
  if (by_strips_) {
    job.work = context.scratch + threads_ * patch_floats();
    context.pool->parallel_for(
        threads_, 1,
        [](const void* data, int64_t first, int64_t last) {
          const Job* work = static_cast<const Job*>(data);
          for (int64_t part = first; part < last; ++part) work->conv->run_strips(*work, part);
        },
        &job);
    return;
  }
  job.work = context.scratch + patch_floats();
  job.strip_tiles = tile_rows_ * tile_cols_;
  run_blocks_in_parallel(context, job);
}

// A thread's own strips; nothing is exchanged with other threads.
void WinogradConv::run_strips(const Job& common, int64_t part) const {
  const int tiles = tile_rows_ * tile_cols_;
  const int64_t strips = divide_up(tiles, strip_tiles_);
  Job job = common;
  job.patches += part * patch_floats();
  job.work += part * work_floats();
  job.blocks_per_work = operands_.layer->packed().blocks;
  for (int64_t i = strips * part / threads_; i < strips * (part + 1) / threads_; ++i) {
    job.strip_begin = static_cast<int>(i) * strip_tiles_;
    job.strip_tiles = std::min(strip_tiles_, tiles - job.strip_begin);
    transform_patches(job, 0, int64_t{job.strip_tiles} * channel_groups_);
    run_blocks(job, 0, job.blocks_per_work);
  }
}

// One strip of all tiles, whose transformed patches all threads share.
void WinogradConv::run_blocks_in_parallel(const RunContext& context, Job job) const {
  const int64_t patches = int64_t{job.strip_tiles} * channel_groups_;
  context.pool->parallel_for(
      patches, (patches + threads_ - 1) / threads_,
      [](const void* data, int64_t first, int64_t last) {
        const Job* work = static_cast<const Job*>(data);
        work->conv->transform_patches(*work, first, last);
      },
      &job);
  const int64_t blocks = operands_.layer->packed().blocks;
  job.blocks_per_work = (blocks + threads_ - 1) / threads_;
  context.pool->parallel_for(
      blocks, job.blocks_per_work,
      [](const void* data, int64_t first, int64_t last) {
        const Job* work = static_cast<const Job*>(data);
        work->conv->run_blocks(*work, first, last);
      },
      &job);
}

void WinogradConv::transform_patches(const Job& job, int64_t begin, int64_t end) const {
  const BufferLayout& in = operands_.in;
  const Window2d& window = operands_.window;
  for (int64_t i = begin; i < end; ++i) {
    const int tile = static_cast<int>(i / channel_groups_);
    const int group = static_cast<int>(i % channel_groups_);
    const int row = (job.strip_begin + tile) / tile_cols_ * kWinogradTile;
    const int col = (job.strip_begin + tile) % tile_cols_ * kWinogradTile;
    WinogradInput patch;
    patch.in = job.arena + in.origin() + (row - window.pad_top) * in.row() +
               (col - window.pad_left) * in.col() + group * kLanes;
    patch.in_row = in.row();
    patch.in_col = in.col();
    // What the pixels of the image need; further away there may be no halo.
    patch.rows = std::min(kWinogradPatch, operands_.out.height - row + 2);
    patch.cols = std::min(kWinogradPatch, operands_.out.width - col + 2);
    patch.out = job.patches + (group * padded_strip_tiles_ + tile) * kLanes;
    patch.out_point = patch_point_;
    transforms_->input(patch);
  }
}

void WinogradConv::run_blocks(const Job& job, int64_t begin, int64_t end) const {
  float* weights = job.work + begin / job.blocks_per_work * work_floats();
  float* sums =
      weights + kWinogradPoints * weight_point(std::min(operands_.in_channels, kMaxChannels));
  for (int64_t block = begin; block < end; ++block) {
    for (int channel = 0; channel < operands_.in_channels; channel += kMaxChannels) {
      multiply(job, static_cast<int>(block), channel,
               std::min(kMaxChannels, operands_.in_channels - channel), weights, sums);
    }
    store_tiles(job, static_cast<int>(block), sums);
  }
}

// sums (+)= transformed weights of some channels times transformed patches, point by point.
void WinogradConv::multiply(const Job& job, int block, int channel, int channels, float* weights,
                            float* sums) const {
  transform_weights(job.level, block, channel, channels, weights);
  SparseConvSpan span{};
  span.offsets = offsets_.at(channel);
  span.end = offsets_.at(channel + channels);
  plan_prefetch(job, block, channel, channels, &span);
  SparseConvTile tile{};
  tile.in_col = kLanes;
  tile.spans = &span;
  tile.span_count = 1;
  tile.offset_width = offsets_.width();
  tile.scale = kOnes;
  tile.bias = kZeros;
  tile.out_col = kLanes;
  tile.residual_col = kLanes;
  tile.activation = Activation::kNone;
  for (int p = 0; p < kWinogradPoints; ++p) {
    span.values = weights + p * weight_point(channels);
    for (const Group& group : groups_) {
      const int64_t at = int64_t{group.begin} * kLanes;
      tile.in = job.patches + p * patch_point_ + at;
      tile.in_row = int64_t{group.kernel->cols} * kLanes;
      tile.out = sums + p * sum_point_ + at;
      tile.out_row = tile.in_row;
      tile.residual = channel == 0 ? nullptr : tile.out;
      tile.residual_row = tile.in_row;
      tile.count = group.count;
      tile.in_step = tile.out_step = tile.residual_step = tile.in_row * group.kernel->rows;
      group.kernel->fn(tile);
      span.prefetch += group.count * span.prefetch_tile;
    }
  }
}

// Each chunk of the packed form has places of its own.
void WinogradConv::transform_weights(int level, int block, int channel, int channels,
                                     float* out) const {
  const PackedLayer& layer = *operands_.layer;
  const PackedSpan* const spans = layer.packed().spans(level, block);
  const int chunk = layer.packed().chunks == 1 ? operands_.in_channels : operands_.chunk_channels;
  for (int begin = channel; begin < channel + channels;) {
    const PackedSpan& span = spans[begin / chunk];
    const int end = std::min(channel + channels, (begin / chunk + 1) * chunk);
    const int64_t places = (int64_t{block} * operands_.in_channels + begin) * kWinogradTaps;
    transforms_->weights({layer.values(block) + int64_t{span.begin} * kLanes,
                          places_.data() + places, span.nnz, end - begin,
                          out + (begin - channel) * kLanes, weight_point(channels)});
    begin = end;
  }
}

// While the products of one block are made, the kept weights of the next come into L2. In chunks
// they are not all that lie there, but Winograd runs at levels that keep most.
void WinogradConv::plan_prefetch(const Job& job, int block, int channel, int channels,
                                 SparseConvSpan* span) const {
  const PackedLayer& layer = *operands_.layer;
  span->prefetch = span->offsets;
  if (block + 1 >= layer.packed().blocks) return;
  const int64_t bytes = int64_t{layer.packed().nnz(job.level, block + 1)} * kLanes * 4;
  int64_t calls = 0;
  for (const Group& group : groups_) calls += kWinogradPoints * group.count;
  span->prefetch_step = bytes / (calls * operands_.in_channels);
  span->prefetch_tile = span->prefetch_step * channels;
  span->prefetch = reinterpret_cast<const char*>(layer.values(block + 1)) +
                   span->prefetch_step * calls * channel;
}

void WinogradConv::store_tiles(const Job& job, int block, const float* sums) const {
  const PackedLayer& layer = *operands_.layer;
  const BufferLayout& out = operands_.out;
  const BufferLayout& residual = operands_.residual;
  WinogradOutput tile{};
  tile.in_point = sum_point_;
  tile.scale = layer.scale(job.level, block);
  tile.bias = layer.bias(job.level, block);
  tile.residual_row = residual.row();
  tile.residual_col = residual.col();
  tile.out_row = out.row();
  tile.out_col = out.col();
  tile.activation = operands_.activation;
  for (int i = 0; i < job.strip_tiles; ++i) {
    const int row = (job.strip_begin + i) / tile_cols_ * kWinogradTile;
    const int col = (job.strip_begin + i) % tile_cols_ * kWinogradTile;
    tile.in = sums + i * kLanes;
    tile.rows = std::min(kWinogradTile, out.height - row);
    tile.cols = std::min(kWinogradTile, out.width - col);
    tile.out = job.arena + out.origin() + row * out.row() + col * out.col() + block * kLanes;
    if (operands_.has_residual) {
      tile.residual = job.arena + residual.origin() + row * residual.row() + col * residual.col() +
                      block * kLanes;
    }
    transforms_->output(tile);
  }
}

}  // namespace aio
