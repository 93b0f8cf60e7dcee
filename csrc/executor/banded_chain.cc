// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/banded_chain.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <utility>

namespace aio {
namespace {

using Clock = std::chrono::steady_clock;

// Every band reads all weights of the chain, which should stay in L2 too.
constexpr int64_t kWeightBytes = 256 * 1024;
// More parts than threads let one thread take over from another that was interrupted, but each
// makes the rows above it once more, and has windows of its own.
constexpr int kPartsPerThread = 2;

}  // namespace

std::unique_ptr<BandedChain> BandedChain::create(std::vector<ChainLink> links,
                                                 std::vector<Operands> operands, int threads) {
  std::unique_ptr<BandedChain> chain(new BandedChain(std::move(links), std::move(operands)));
  if (!BandSplit::plan(chain->links_, 1, &chain->alone_)) return nullptr;
  chain->prepare(chain->alone_);
  if (threads == 1) return chain;
  const bool has_parts =
      BandSplit::plan(chain->links_, threads * kPartsPerThread, &chain->shared_) ||
      BandSplit::plan(chain->links_, threads, &chain->shared_);
  if (!has_parts) return nullptr;
  chain->prepare(chain->shared_);
  return chain;
}

bool BandedChain::pays(const int* levels) const {
  int64_t bytes = 0;
  for (size_t i = 0; i < links_.size(); ++i) {
    if (!operands_[i].step->makes_rows(levels[i])) return false;
    bytes += operands_[i].step->level_bytes(levels[i]);
  }
  return bytes <= kWeightBytes;
}

void BandedChain::run(const RunContext& context, const int* levels, int64_t* step_ns) const {
  std::array<std::atomic<int64_t>, kMaxChain> parts_ns{};
  const auto begin = Clock::now();
  zero_halo(links_.back().out, context.arena);
  int64_t macs = 0;
  for (size_t i = 0; i < links_.size(); ++i) macs += operands_[i].step->macs(levels[i]);
  const bool parallel = context.pool->threads() > 1 && macs >= kMinParallelMacs;
  const BandSplit& split = parallel ? shared_ : alone_;
  const Job job{this, &split, context.arena, levels, step_ns == nullptr ? nullptr : &parts_ns[0]};
  context.pool->parallel_for(
      split.parts(), parallel ? 1 : split.parts(),
      [](const void* data, int64_t first, int64_t last) {
        const Job* work = static_cast<const Job*>(data);
        for (int64_t i = first; i < last; ++i) work->chain->run_part(*work, static_cast<int>(i));
      },
      &job);
  if (step_ns == nullptr) return;
  // Threads work at once, so a step's share of the sum is its share of the time.
  const double wall_ns = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
  double sum_ns = 1.0;
  for (const auto& part_ns : parts_ns) sum_ns += static_cast<double>(part_ns.load());
  for (size_t i = 0; i < links_.size(); ++i) {
    step_ns[i] += static_cast<int64_t>(wall_ns * static_cast<double>(parts_ns[i].load()) / sum_ns);
  }
}

void BandedChain::prepare(const BandSplit& split) {
  for (int part = 0; part < split.parts(); ++part) {
    split.for_each_band(part, [&](const BandSplit::Ranges& missing) {
      for (size_t i = 0; i < links_.size(); ++i) {
        const RowRange rows = split.image_rows(i, missing[i]);
        if (rows.count() > 0) operands_[i].step->prepare_rows(rows.count());
      }
    });
  }
}

void BandedChain::run_part(const Job& job, int part) const {
  Slots slots;
  for (size_t i = 0; i + 1 < links_.size(); ++i) {
    const BufferLayout& buffer = links_[i].out;
    const int64_t window = job.split->window_rows(i) * buffer.row();
    slots[i] = {buffer.arena_offset + part * window, 0, std::numeric_limits<int>::min()};
  }
  job.split->for_each_band(
      part, [&](const BandSplit::Ranges& missing) { run_band(job, missing, &slots); });
}

void BandedChain::run_band(const Job& job, const BandSplit::Ranges& missing, Slots* slots) const {
  auto before = job.step_ns == nullptr ? Clock::time_point() : Clock::now();
  for (size_t i = 0; i < links_.size(); ++i) {
    if (missing[i].count() == 0) continue;
    if (i + 1 < links_.size()) {
      Slot* const slot = &(*slots)[i];
      slide(job, i, job.split->rows_read(i + 1, missing[i + 1]), slot);
      clear_padding(job.arena, i, missing[i], *slot);
      slot->end = missing[i].end;
    }
    make_rows(job, i, job.split->image_rows(i, missing[i]), *slots);
    if (job.step_ns == nullptr) continue;
    const auto now = Clock::now();
    job.step_ns[i] += std::chrono::duration_cast<std::chrono::nanoseconds>(now - before).count();
    before = now;
  }
}

void BandedChain::make_rows(const Job& job, size_t link, RowRange rows, const Slots& slots) const {
  if (rows.count() == 0) return;
  const Operands& made = operands_[link];
  const bool is_last = link + 1 == links_.size();
  const Origins origins{link == 0 ? made.in.origin() : origin(link - 1, slots[link - 1]),
                        made.residual.origin(),
                        is_last ? links_[link].out.origin() : origin(link, slots[link])};
  made.step->run_rows(job.arena, origins, job.levels[link], rows);
}

// Moves the window down, and with it what will be read again, if `wanted` is not in it.
void BandedChain::slide(const Job& job, size_t link, RowRange wanted, Slot* slot) const {
  const bool has_place = wanted.begin >= slot->first &&
                         wanted.end - slot->first <= job.split->window_rows(link) &&
                         slot->end >= wanted.begin;
  if (has_place) return;
  const ptrdiff_t row = links_[link].out.row();
  if (slot->end > wanted.begin) {
    float* const begin = job.arena + slot->begin;
    std::memmove(
        begin, begin + (wanted.begin - slot->first) * row,
        static_cast<size_t>(slot->end - wanted.begin) * static_cast<size_t>(row) * sizeof(float));
  }
  slot->first = wanted.begin;
}

// Zeros above, below and beside the image.
void BandedChain::clear_padding(float* arena, size_t link, RowRange rows, const Slot& slot) const {
  const BufferLayout& buffer = links_[link].out;
  for (int y = rows.begin; y < rows.end; ++y) {
    float* const row = arena + slot.begin + (y - slot.first) * buffer.row();
    float* const image = row + buffer.halo_left * buffer.col();
    float* const end = row + buffer.row();
    if (y < 0 || y >= buffer.height) {
      std::fill(row, end, 0.0f);
    } else {
      std::fill(row, image, 0.0f);
      std::fill(image + buffer.width * buffer.col(), end, 0.0f);
    }
  }
}

// Of pixel (0, 0), which need not be in the window.
int64_t BandedChain::origin(size_t link, const Slot& slot) const {
  const BufferLayout& buffer = links_[link].out;
  return slot.begin - slot.first * buffer.row() + buffer.halo_left * buffer.col();
}

}  // namespace aio
