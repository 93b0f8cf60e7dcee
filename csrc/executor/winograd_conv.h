// SPDX-License-Identifier: Apache-2.0
//
// A 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3), for levels that keep most weights.
//
// The weights are transformed anew in every inference, from the same packed form that the direct
// algorithm reads: kept beside it for every level, the transformed weights would take four times
// the memory of the model. What that costs is in cost().
#ifndef AIO_CSRC_EXECUTOR_WINOGRAD_CONV_H_
#define AIO_CSRC_EXECUTOR_WINOGRAD_CONV_H_

#include <cstdint>
#include <vector>

#include "csrc/base/isa.h"
#include "csrc/executor/conv_operands.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/sparse_conv/sparse_conv.h"
#include "csrc/kernels/winograd/winograd.h"

namespace aio {

class WinogradConv {
 public:
  // The only one that the transforms know.
  static constexpr BlockLayout kLayout{kLanes, WeightType::kFloat32};

  // Whether the algorithm can compute the layer at all.
  static bool supports(const LayerWeights& weights, const Window2d& window);

  // The time it takes at any level, in multiply-adds of whole vectors of 16 as DirectConv::cost()
  // counts them.
  static double cost(const ConvOperands& operands);

  // `operands` must outlive this; `places` are those of kept_places().
  WinogradConv(const ConvOperands& operands, std::vector<uint16_t> places, int threads, Isa isa);

  void run(const RunContext& context, int level) const;
  int64_t scratch_floats() const;
  size_t weight_bytes() const { return places_.size() * sizeof(uint16_t); }
  const char* kernel_name() const { return transforms_->name; }

 private:
  // Neighbouring tiles that one call of a sparse_conv kernel takes as its pixels.
  struct Group {
    const SparseConvKernel* kernel;
    int begin;  // in the strip
    int count;  // of calls, one after the other
  };
  struct Job {
    const WinogradConv* conv;
    float* arena;
    int level;
    int strip_begin;  // tile
    int strip_tiles;
    float* patches;           // transformed
    float* work;              // weights and sums, once for every
    int64_t blocks_per_work;  // blocks
  };

  void group_tiles(Isa isa);
  int64_t patch_floats() const { return kWinogradPoints * patch_point_; }
  int64_t work_floats() const;
  void run_strips(const Job& common, int64_t part) const;
  void run_blocks_in_parallel(const RunContext& context, Job job) const;
  void transform_patches(const Job& job, int64_t begin, int64_t end) const;
  void run_blocks(const Job& job, int64_t begin, int64_t end) const;
  void multiply(const Job& job, int block, int channel, int channels, float* weights,
                float* sums) const;
  void transform_weights(int level, int block, int channel, int channels, float* out) const;
  void plan_prefetch(const Job& job, int block, int channel, int channels,
                     SparseConvSpan* span) const;
  void store_tiles(const Job& job, int block, const float* sums) const;

  const ConvOperands& operands_;
  const WinogradKernels* transforms_;
  std::vector<uint16_t> places_;
  int threads_;
  int channel_groups_;  // of 16 input channels
  int tile_rows_;
  int tile_cols_;
  bool by_strips_;          // threads share strips out, else the blocks of the only one
  int strip_tiles_;         // tiles transformed at once
  int padded_strip_tiles_;  // what the groups cover
  int64_t patch_point_;     // floats between the points of the transformed patches
  int64_t sum_point_;       // and of the sums
  std::vector<Group> groups_;
  PackedOffsets offsets_;  // of input channels within one point's tiles
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_WINOGRAD_CONV_H_
