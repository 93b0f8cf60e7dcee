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
  struct Operands {
    RowStep* step;
    BufferLayout in;
    BufferLayout residual;  // empty for none
  };

  // links[i] is what operands[i] makes, reading what the one before it made. Null if no band has
  // place in the cache, or the buffers none for a window of each thread.
  static std::unique_ptr<BandedChain> create(std::vector<ChainLink> links,
                                             std::vector<Operands> operands, int threads);

  size_t size() const { return links_.size(); }
  // Whether the chain is faster than its steps one by one; levels[i] is that of step i.
  bool pays(const int* levels) const;
  // Gives what the steps would give one by one, to the bit. Adds each step's share of the time to
  // step_ns, unless that is null.
  void run(const RunContext& context, const int* levels, int64_t* step_ns) const;

 private:
  // A window on what a link hands on. It lies in the buffer that would hold all of it.
  struct Slot {
    int64_t begin;  // in floats from the arena's begin
    int first;      // the row that lies there
    int end;        // of the rows made
  };
  using Slots = std::array<Slot, kMaxChain>;
  struct Job {
    const BandedChain* chain;
    const BandSplit* split;
    float* arena;
    const int* levels;
    std::atomic<int64_t>* step_ns;
  };

  BandedChain(std::vector<ChainLink> links, std::vector<Operands> operands)
      : links_(std::move(links)), operands_(std::move(operands)) {}

  void prepare(const BandSplit& split);
  void run_part(const Job& job, int part) const;
  void run_band(const Job& job, const BandSplit::Ranges& missing, Slots* slots) const;
  void make_rows(const Job& job, size_t link, RowRange rows, const Slots& slots) const;
  void slide(const Job& job, size_t link, RowRange wanted, Slot* slot) const;
  void clear_padding(float* arena, size_t link, RowRange rows, const Slot& slot) const;
  int64_t origin(size_t link, const Slot& slot) const;

  std::vector<ChainLink> links_;
  std::vector<Operands> operands_;
  BandSplit alone_;   // for one thread
  BandSplit shared_;  // for all, if there are several
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_BANDED_CHAIN_H_
