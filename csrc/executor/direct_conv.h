// SPDX-License-Identifier: Apache-2.0
//
// A convolution by the nested block-sparse kernels: its output is covered with tiles, and each tile
// is computed block by block from the kept elements alone.
#ifndef AIO_CSRC_EXECUTOR_DIRECT_CONV_H_
#define AIO_CSRC_EXECUTOR_DIRECT_CONV_H_

#include <cstdint>
#include <vector>

#include "csrc/base/isa.h"
#include "csrc/executor/conv_operands.h"
#include "csrc/executor/step.h"
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {

// Chunks of a layer's packed weights that the direct algorithm takes.
constexpr int kMaxChunks = 32;

class DirectConv {
 public:
  // `operands` must outlive this.
  DirectConv(const ConvOperands& operands, int levels, Isa isa);

  struct Range {
    int64_t begin;
    int64_t end;
  };

  // Makes the channels of some blocks.
  void run(const RunContext& context, int level, Range blocks) const;
  // Multiply-adds of whole vectors of kLanes.
  double cost(int level) const;
  const char* kernel_name() const { return kernel_->name; }
  size_t table_bytes() const { return spans_.size() * sizeof(SparseConvSpan); }

 private:
  // Where the tile's data starts in each buffer, in floats from the arena.
  struct PlacedTile {
    SparseConvFn fn;
    int row;
    int rows;
    int cols;
    int64_t in;
    int64_t residual;
    int64_t out;
    int run = 1;  // this tile and those to the right that are like it and adjacent
  };
  struct Job {
    const DirectConv* conv;
    float* arena;
    int level;
    Range blocks;
    bool by_tiles;  // a chunk is some tiles, all blocks; else the reverse
    int64_t chunks;
  };

  void tile_output(Isa isa);
  void add_tile(const SparseConvKernel& kernel, int row, int col);
  void find_runs();
  int64_t choose_part() const;
  void run_chunk(const Job& job, int64_t chunk) const;
  void run_range(const Job& job, Range tiles, Range blocks) const;
  void run_part(const Job& job, Range tiles, Range blocks) const;
  void prefetch_tile(const float* arena, const PlacedTile& placed) const;
  SparseConvTile common_tile() const;
  void set_block(int level, int block, SparseConvTile* tile) const;
  void set_place(float* arena, const PlacedTile& placed, int block, SparseConvTile* tile) const;
  static void advance_prefetch(const SparseConvTile& tile, SparseConvSpan* spans);
  SparseConvSpan span_of(int level, int block, int chunk) const;
  void make_spans(int level);

  int height() const { return operands_.layer->height(); }

  const ConvOperands& operands_;
  const SparseConvKernel* kernel_ = nullptr;  // the one of most pixels
  std::vector<PlacedTile> tiles_;
  int64_t part_ = 1;
  std::vector<SparseConvSpan> spans_;  // as the packed weights' spans
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_DIRECT_CONV_H_
