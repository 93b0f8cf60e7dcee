// SPDX-License-Identifier: Apache-2.0
//
// Re-planning inside an inference. At the boundaries between steps the time elapsed is held against
// the plan; when the end is no longer expected at the budget, the steps still to run move to a
// sparser level, or to a denser one where there is slack. Nothing here reads a clock: time comes in
// from the caller, so that a simulation in virtual time runs the same code as the executor.
#ifndef AIO_CSRC_EXECUTOR_PACE_H_
#define AIO_CSRC_EXECUTOR_PACE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "csrc/base/status.h"

namespace aio {

// How long every step is expected to take at every level, at the clock of now.
class PaceTable {
 public:
  // `cost_ns` is levels x steps, finite and not negative. `allowed` are the levels that a re-plan
  // may use; they are sorted, densest first.
  static Status create(int levels, int steps, std::vector<double> cost_ns, std::vector<int> allowed,
                       PaceTable* table);

  int steps() const { return steps_; }
  int levels() const { return levels_; }
  const std::vector<int>& allowed() const { return allowed_; }
  double cost_ns(int level, int step) const {
    return cost_ns_[static_cast<size_t>(level * steps_ + step)];
  }
  // Of the steps from `step` on; 0 for the end.
  double remaining_ns(int level, int step) const {
    return remaining_ns_[static_cast<size_t>(level * (steps_ + 1) + step)];
  }

 private:
  int levels_ = 0;
  int steps_ = 0;
  std::vector<double> cost_ns_;
  std::vector<double> remaining_ns_;  // levels x (steps + 1)
  std::vector<int> allowed_;
};

// What one inference has to keep.
struct PaceRequest {
  double budget_ns = 0.0;
  double slowdown = 1.0;  // measured times are this multiple of the table's, as far as is known
  bool replan = true;     // else levels stay as planned and only times are taken
};

// Refuses a budget below 0 and a slowdown that is not above it.
Status check_request(const PaceRequest& request);

class Pace {
 public:
  // `table` must outlive this; it may be replaced between inferences.
  explicit Pace(const PaceTable* table);

  // Starts an inference with a level per step. `planned` has table.steps() levels.
  void begin(const int* planned, const PaceRequest& request);

  // True where enough work was done since the last check for a clock reading to be worth its cost;
  // near the end, where little is left that could still give way, sooner.
  bool due() const {
    return pending_ns_ >= interval_ns_ ||
           (pending_ns_ >= left_ns_ && pending_ns_ >= kLastInterval * interval_ns_);
  }
  // Holds `elapsed_ns` since the begin against the plan before `step` runs.
  void check(int step, double elapsed_ns);
  // The level to run `step` at. Called once per step, in order.
  int next(int step) {
    const int level = levels_[static_cast<size_t>(step)];
    const double cost_ns = table_->cost_ns(level, step);
    pending_ns_ += cost_ns;
    expected_ns_ += cost_ns;
    left_ns_ -= cost_ns;
    return level;
  }

  // By the table, of the steps run so far at the levels they ran at; without the slowdown.
  double expected_ns() const { return expected_ns_; }
  int replans() const { return replans_; }
  // Of the running or last inference, as planned and re-planned so far.
  const std::vector<int>& levels() const { return levels_; }

 private:
  void learn(double interval_ns);
  double planned_ns(int step) const;
  void replan(int step, double budget_ns);
  bool assign(int step, int end, int level);

  const PaceTable* table_;
  PaceRequest request_;
  std::vector<int> levels_;
  static constexpr double kLastInterval = 0.25;

  double interval_ns_ = 0.0;      // table time between checks
  double pending_ns_ = 0.0;       // table time of the steps since the last check
  double expected_ns_ = 0.0;      // table time of all steps so far
  double left_ns_ = 0.0;          // table time of the steps to come, as planned now
  double last_elapsed_ns_ = 0.0;  // at the last check
  double evidence_ns_ = 0.0;      // table time, older parts forgotten, ...
  double measured_ns_ = 0.0;      // ... and what it took, by the request's slowdown
  bool surprised_ = false;        // the last interval did not fit the estimate
  int replans_ = 0;
};

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_PACE_H_
