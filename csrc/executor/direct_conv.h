// SPDX-License-Identifier: Apache-2.0
//
// A convolution by the nested block-sparse kernels: its output is covered with tiles, and each tile
// is computed block by block from the kept elements alone.
#ifndef AIO_CSRC_EXECUTOR_DIRECT_CONV_H_
#define AIO_CSRC_EXECUTOR_DIRECT_CONV_H_

#include <cstdint>
#include <map>
#include <vector>

#include "csrc/base/isa.h"
#include "csrc/executor/conv_operands.h"
#include "csrc/executor/cover.h"
#include "csrc/executor/row_step.h"
#include "csrc/kernels/sparse_conv/sparse_conv.h"

namespace aio {

// Chunks of a layer's packed weights that the direct algorithm takes.
constexpr int kMaxChunks = 32;

class DirectConv {
 public:
  // `operands` must outlive this.
  DirectConv(const ConvOperands& operands, int levels, int threads, Isa isa);

  struct Range {
    int64_t begin;
    int64_t end;
  };

  // Makes the channels of some blocks.
  void run(const RunContext& context, int level, Range blocks) const;
  // Multiply-adds of whole vectors of kLanes.
  double cost(int level) const;
  int64_t macs(int level) const;
  const char* kernel_name(int level) const {
    return cover(level, operands_.out.height).kernel->name;
  }

  // As those of RowStep.
  void prepare_rows(int count);
  void run_rows(float* arena, Origins origins, int level, RowRange rows) const;

 private:
  // What threads share out: tiles or rows of the image, or blocks of channels.
  enum class Split { kTiles, kRows, kBlocks };
  struct Job {
    const DirectConv* conv;
    const Cover* cover;
    float* arena;
    Origins origins;
    int level;
    Range blocks;
    Split split;
    int64_t shares;
  };
  struct Chunks {
    int begin;
    int end;
  };

  struct Covers {
    Cover wide;
    Cover near;  // if any level uses it
  };

  const Cover& cover(int level, int rows) const;
  void share_out(int threads, Job* job) const;
  RowRange part_rows(int part) const;
  void run_rows(float* arena, Origins origins, int level, RowRange rows, Range blocks) const;
  void run_share(const Job& job, int64_t share) const;
  void run_range(const Job& job, Range tiles, Range blocks) const;
  void run_part(const Job& job, Range tiles, Range blocks, Chunks chunks) const;
  void prefetch_tile(const Job& job, const PlacedTile& placed) const;
  SparseConvTile common_tile(Chunks chunks) const;
  void set_block(int level, int block, Chunks chunks, int64_t tiles, SparseConvSpan* spans,
                 SparseConvTile* tile) const;
  void set_place(const Job& job, const PlacedTile& placed, int block, SparseConvTile* tile) const;

  static size_t at(int index) { return static_cast<size_t>(index); }
  int height() const { return operands_.layer->height(); }

  const ConvOperands& operands_;
  Isa isa_;
  std::vector<bool> near_levels_;
  std::map<int, Covers> covers_;  // by number of rows
  int row_parts_ = 0;             // of the image; 0 if it has too few rows
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_DIRECT_CONV_H_
