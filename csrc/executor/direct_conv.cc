// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/direct_conv.h"

#include <algorithm>
#include <array>

namespace aio {
namespace {

// More shares than threads let one thread take over from another that was interrupted.
constexpr int kSharesPerThread = 4;
// With fewer tiles per share, threads would wait for the one that got a tile more, and each share
// reads all weights.
constexpr int kMinTilesPerShare = 3;
// An image of fewer tiles is shared out by rows, in so many parts of at least so many rows: two, as
// then threads have nearly equal numbers of rows.
constexpr int kRowPartsPerThread = 2;
constexpr int kMinPartRows = 3;
constexpr ptrdiff_t kLineFloats = 16;  // of a cache line

}  // namespace

DirectConv::DirectConv(const ConvOperands& operands, int levels, int threads, Isa isa)
    : operands_(operands), isa_(isa) {
  const PackedLayer& layer = *operands_.layer;
  const double elements = 1.0 * layer.packed().blocks * operands_.in_channels;
  for (int level = 0; level < levels; ++level) {
    const double density = static_cast<double>(layer.total_nnz(level)) / elements;
    near_levels_.push_back(prefers_near(operands_, isa, density));
  }
  const int height = operands_.out.height;
  prepare_rows(height);
  if (threads == 1) return;
  if (height >= threads * kRowPartsPerThread * kMinPartRows)
    row_parts_ = threads * kRowPartsPerThread;
  for (int part = 0; part < row_parts_; ++part) prepare_rows(part_rows(part).count());
}

void DirectConv::prepare_rows(int count) {
  if (covers_.count(count) > 0) return;
  Covers& covers = covers_[count];
  covers.wide = cover_wide(operands_, isa_, count);
  // The sparsest level is the first to want it.
  if (near_levels_.back()) covers.near = cover_near(operands_, isa_, count);
}

const Cover& DirectConv::cover(int level, int rows) const {
  const Covers& covers = covers_.find(rows)->second;
  return near_levels_[at(level)] ? covers.near : covers.wide;
}

void DirectConv::run(const RunContext& context, int level, Range blocks) const {
  const Cover& all = cover(level, operands_.out.height);
  const Origins origins{operands_.in.origin(), operands_.residual.origin(), operands_.out.origin()};
  Job job{this, &all, context.arena, origins, level, blocks, Split::kTiles, 1};
  if (macs(level) >= kMinParallelMacs) share_out(context.pool->threads(), &job);
  context.pool->parallel_for(
      job.shares, 1,
      [](const void* data, int64_t begin, int64_t end) {
        const Job* work = static_cast<const Job*>(data);
        for (int64_t share = begin; share < end; ++share) work->conv->run_share(*work, share);
      },
      &job);
}

// A thread that keeps to its own rows finds them in its own cache in the next layer.
void DirectConv::share_out(int threads, Job* job) const {
  const int64_t tiles = static_cast<int64_t>(job->cover->tiles.size());
  job->shares = int64_t{threads} * kSharesPerThread;
  if (tiles >= job->shares * kMinTilesPerShare) return;
  if (row_parts_ > 0) {
    job->split = Split::kRows;
    job->shares = row_parts_;
  } else {
    job->split = Split::kBlocks;
    job->shares = std::min(job->shares, job->blocks.end - job->blocks.begin);
  }
}

RowRange DirectConv::part_rows(int part) const {
  const int height = operands_.out.height;
  return {height * part / row_parts_, height * (part + 1) / row_parts_};
}

void DirectConv::run_rows(float* arena, Origins origins, int level, RowRange rows) const {
  run_rows(arena, origins, level, rows, {0, operands_.layer->packed().blocks});
}

void DirectConv::run_rows(float* arena, Origins origins, int level, RowRange rows,
                          Range blocks) const {
  origins.in += int64_t{rows.begin} * operands_.window.stride_h * operands_.in.row();
  origins.residual += rows.begin * operands_.residual.row();
  origins.out += rows.begin * operands_.out.row();
  const Cover& some = cover(level, rows.count());
  const Job job{this, &some, arena, origins, level, blocks, Split::kTiles, 1};
  run_share(job, 0);
}

int64_t DirectConv::macs(int level) const {
  const BufferLayout& out = operands_.out;
  return operands_.layer->total_nnz(level) * height() * out.height * out.width;
}

void DirectConv::run_share(const Job& job, int64_t share) const {
  const auto part_of = [&](Range all) {
    const int64_t size = all.end - all.begin;
    return Range{all.begin + size * share / job.shares,
                 all.begin + size * (share + 1) / job.shares};
  };
  const Range tiles{0, static_cast<int64_t>(job.cover->tiles.size())};
  switch (job.split) {
    case Split::kTiles:
      return run_range(job, part_of(tiles), job.blocks);
    case Split::kRows:
      return run_rows(job.arena, job.origins, job.level, part_rows(static_cast<int>(share)),
                      job.blocks);
    case Split::kBlocks:
      return run_range(job, tiles, part_of(job.blocks));
  }
}

double DirectConv::cost(int level) const {
  const double pixels = 1.0 * operands_.out.height * operands_.out.width;
  const double vectors = 1.0 * height() / kLanes;
  return static_cast<double>(operands_.layer->total_nnz(level)) * vectors * pixels / 0.97;
}

void DirectConv::run_range(const Job& job, Range tiles, Range blocks) const {
  const Cover& cover = *job.cover;
  const int chunks = operands_.layer->packed().chunks;
  for (int c = 0; c < chunks; c += cover.pass) {
    for (int64_t t = tiles.begin; t < tiles.end; t += cover.part) {
      if (cover.part == 1 && t + 1 < tiles.end) {
        prefetch_tile(job, cover.tiles[static_cast<size_t>(t + 1)]);
      }
      run_part(job, {t, std::min(t + cover.part, tiles.end)}, blocks,
               {c, std::min(c + cover.pass, chunks)});
    }
  }
}

void DirectConv::run_part(const Job& job, Range tiles, Range blocks, Chunks chunks) const {
  std::array<SparseConvSpan, kMaxChunks> spans;
  SparseConvTile tile = common_tile(chunks);
  tile.spans = spans.data();
  for (int64_t b = blocks.begin; b < blocks.end; ++b) {
    const int block = static_cast<int>(b);
    set_block(job.level, block, chunks, tiles.end - tiles.begin, spans.data(), &tile);
    for (int64_t t = tiles.begin; t < tiles.end; t += tile.count) {
      const PlacedTile& first = job.cover->tiles[static_cast<size_t>(t)];
      set_place(job, first, block, &tile);
      tile.count = std::min<int64_t>(first.run, tiles.end - t);
      first.fn(tile);
      if (t + tile.count == tiles.end) break;
      // The next tile fetches where this one ended.
      for (int c = 0; c < tile.span_count; ++c) {
        spans[at(c)].prefetch += tile.count * spans[at(c)].prefetch_tile;
      }
    }
  }
}

// Brings the inputs of a tile into L2. A tile is a few short runs in different rows, which the
// hardware does not foresee.
void DirectConv::prefetch_tile(const Job& job, const PlacedTile& placed) const {
  const Window2d& w = operands_.window;
  const int rows = (placed.rows - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1;
  const int cols = (placed.cols - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1;
  const float* const in = job.arena + job.origins.in + placed.in;
  for (int y = 0; y < rows; ++y) {
    const float* row = in + y * operands_.in.row();
    for (ptrdiff_t i = 0; i < cols * operands_.in.col(); i += kLineFloats) {
      __builtin_prefetch(row + i, /*rw=*/0, /*locality=*/2);
    }
  }
}

SparseConvTile DirectConv::common_tile(Chunks chunks) const {
  SparseConvTile tile{};
  tile.in_row = operands_.in.row() * operands_.window.stride_h;
  tile.in_col = operands_.in.col() * operands_.window.stride_w;
  tile.residual_row = operands_.residual.row();
  tile.residual_col = operands_.residual.col();
  tile.out_row = operands_.out.row();
  tile.out_col = operands_.out.col();
  tile.offset_width = operands_.layer->offset_width();
  tile.activation = operands_.activation;
  tile.span_count = chunks.end - chunks.begin;
  tile.resumes = chunks.begin > 0;
  tile.pauses = chunks.end < operands_.layer->packed().chunks;
  return tile;
}

// The kept elements of some chunks. While the tiles of one block are computed, the weights of the
// next come into L2, a part with each tile. Without that, the first tile of each block waits for
// memory: it was a third slower at 512 channels.
void DirectConv::set_block(int level, int block, Chunks chunks, int64_t tiles,
                           SparseConvSpan* spans, SparseConvTile* tile) const {
  const PackedLayer& layer = *operands_.layer;
  const int next = std::min(block + 1, layer.packed().blocks - 1);
  const PackedSpan* const kept = layer.packed().spans(level, block);
  const PackedSpan* const next_kept = layer.packed().spans(level, next);
  const float* const values = layer.values(block);
  const float* const next_values = layer.values(next);
  const char* const offsets = layer.offsets(block);
  const ptrdiff_t offset_bytes = bytes_of(layer.offset_width());
  for (int c = chunks.begin; c < chunks.end; ++c) {
    SparseConvSpan& span = spans[c - chunks.begin];
    span.values = values + int64_t{kept[c].begin} * height();
    span.offsets = offsets + kept[c].begin * offset_bytes;
    span.end = span.offsets + kept[c].nnz * offset_bytes;
    span.prefetch =
        reinterpret_cast<const char*>(next_values + int64_t{next_kept[c].begin} * height());
    const auto bytes = static_cast<uint32_t>(next_kept[c].nnz * height()) * uint32_t{sizeof(float)};
    const auto calls = static_cast<uint32_t>(tiles * kept[c].nnz);
    span.prefetch_step = calls == 0 ? 0 : (bytes + calls - 1) / calls;
    span.prefetch_tile = span.prefetch_step * kept[c].nnz;
  }
  tile->scale = layer.scale(level, block);
  tile->bias = layer.bias(level, block);
}

void DirectConv::set_place(const Job& job, const PlacedTile& placed, int block,
                           SparseConvTile* tile) const {
  const int channel = block * height();
  tile->in_step = placed.cols * tile->in_col;
  tile->residual_step = placed.cols * tile->residual_col;
  tile->out_step = placed.cols * tile->out_col;
  tile->in = job.arena + job.origins.in + placed.in;
  tile->residual = operands_.has_residual
                       ? job.arena + job.origins.residual + placed.residual + channel
                       : nullptr;
  tile->out = job.arena + job.origins.out + placed.out + channel;
}

}  // namespace aio
