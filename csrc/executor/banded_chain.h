// SPDX-License-Identifier: Apache-2.0
//
// Steps that run together band by band: some rows of the last one's output, with what they need of
// all before, then the next rows. What one step hands to the next is a window of a few rows that
// slides down the image and stays in the L2 cache; as a whole it would be written to memory and
// read back. Threads take parts of the image, so they meet once per chain and not after each step.
//
// The idea is known as layer fusion (Alwani et al. 2016, "Fused-layer CNN accelerators") and
// depth-first execution. Rows in which two bands overlap are kept, not made again; between the
// parts of the image they are made twice.
#ifndef AIO_CSRC_EXECUTOR_BANDED_CHAIN_H_
#define AIO_CSRC_EXECUTOR_BANDED_CHAIN_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "csrc/executor/row_step.h"

namespace aio {

class BandedChain {
 public:
  struct Link {
    RowStep* step;
    Window2d window;
    BufferLayout in;
    BufferLayout residual;  // empty for none
    BufferLayout out;
  };

  // `links` are at most kMaxChain, each reading what the one before it made. Null if no band of
  // them has place in the buffers of what they hand on.
  static std::unique_ptr<BandedChain> create(std::vector<Link> links, int threads);

  size_t size() const { return links_.size(); }
  // Whether the chain is faster than its steps one by one; levels[i] is that of step i.
  bool pays(const int* levels) const;
  // Gives what the steps would give one by one, to the bit. Adds each step's share of the time to
  // step_ns, unless that is null.
  void run(const RunContext& context, const int* levels, int64_t* step_ns) const;

 private:
  // How the image is divided.
  struct Split {
    int parts;                          // made independently
    int band;                           // rows of the last output
    std::array<int, kMaxChain> rows{};  // by step: of its window, where it hands on
  };
  // The rows of what a step hands on that are in its window.
  struct Slot {
    int64_t begin;  // of the window, in floats from the arena's begin
    int first;      // the row at its begin
    int end;        // of the rows made
  };
  using Slots = std::array<Slot, kMaxChain>;
  using Ranges = std::array<RowRange, kMaxChain>;
  struct Job {
    const BandedChain* chain;
    const Split* split;
    float* arena;
    const int* levels;
    std::atomic<int64_t>* step_ns;
  };

  explicit BandedChain(std::vector<Link> links) : links_(std::move(links)) {}

  bool plan_split(int parts, Split* split) const;
  bool fits(const Split& split) const;
  void prepare(const Split& split);
  RowRange part_rows(const Split& split, int part) const;
  template <typename Visit>
  void for_each_band(const Split& split, int part, const Visit& visit) const;
  Ranges missing_rows(RowRange band, const std::array<int, kMaxChain>& made) const;
  RowRange rows_read(size_t link, RowRange rows) const;
  void run_part(const Job& job, int part) const;
  void run_band(const Job& job, const Ranges& missing, Slots* slots) const;
  void make_rows(const Job& job, size_t link, RowRange rows, const Slots& slots) const;
  void slide(const Job& job, size_t link, RowRange wanted, Slot* slot) const;
  void clear_padding(float* arena, size_t link, RowRange rows, const Slot& slot) const;
  int64_t origin(size_t link, const Slot& slot) const;

  std::vector<Link> links_;
  std::vector<Split> splits_;  // for one thread, for all
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_BANDED_CHAIN_H_
