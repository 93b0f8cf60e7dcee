// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/pace.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace aio {
namespace {

// A check reads a clock and compares, some 50 ns. Every 20 us that is 0.2 % of the time; more often
// than every fiftieth part of an inference gains nothing.
constexpr double kMinIntervalNs = 20e3;
constexpr double kMaxChecks = 50;
// The end may be expected this far from the budget before levels change: less than the noise of
// one layer's time would make them flutter.
constexpr double kLate = 0.015;
constexpr double kEarly = 0.03;
// Per check, the part of the evidence that is kept. The prior counts like this part of the
// inference.
constexpr double kMemory = 0.7;
constexpr double kPrior = 0.04;
// An interval that deviates this much says that the speed has changed, not that it is noisy.
constexpr double kSurprise = 1.25;
// No clock falls by such a factor at once: the thread was stopped for a while, and goes on as
// before.
constexpr double kStall = 3.5;

}  // namespace

Status PaceTable::create(int levels, int steps, std::vector<double> cost_ns,
                         std::vector<int> allowed, PaceTable* table) {
  const size_t count = static_cast<size_t>(levels) * static_cast<size_t>(steps);
  if (levels < 1 || steps < 0 || cost_ns.size() != count) {
    return Status::error("got " + std::to_string(cost_ns.size()) + " costs for " +
                         std::to_string(levels) + " levels of " + std::to_string(steps) +
                         " layers");
  }
  for (const double cost : cost_ns) {
    if (!(std::isfinite(cost) && cost >= 0.0)) {
      return Status::error("a layer's cost is " + std::to_string(cost) +
                           " ns, expected a finite time");
    }
  }
  std::sort(allowed.begin(), allowed.end());
  if (allowed.empty() || allowed.front() < 0 || allowed.back() >= levels) {
    return Status::error("allowed levels must be some of 0 to " + std::to_string(levels - 1));
  }
  table->levels_ = levels;
  table->steps_ = steps;
  table->cost_ns_ = std::move(cost_ns);
  table->allowed_ = std::move(allowed);
  table->remaining_ns_.assign(count + static_cast<size_t>(levels), 0.0);
  for (int level = 0; level < levels; ++level) {
    double* remaining = table->remaining_ns_.data() + level * (steps + 1);
    for (int step = steps - 1; step >= 0; --step) {
      remaining[step] = remaining[step + 1] + table->cost_ns(level, step);
    }
  }
  return Status::ok();
}

Status check_request(const PaceRequest& request) {
  if (request.budget_ns >= 0.0 && request.slowdown > 0.0 && std::isfinite(request.slowdown)) {
    return Status::ok();
  }
  return Status::error("a budget of " + std::to_string(request.budget_ns) +
                       " ns and a slowdown of " + std::to_string(request.slowdown) +
                       ": expected at least 0, and a number above 0");
}

Pace::Pace(const PaceTable* table)
    : table_(table), levels_(static_cast<size_t>(table->steps()), 0) {}

void Pace::begin(const int* planned, const PaceRequest& request) {
  request_ = request;
  std::copy(planned, planned + levels_.size(), levels_.begin());
  left_ns_ = planned_ns(0);
  interval_ns_ = std::max(kMinIntervalNs / request.slowdown, left_ns_ / kMaxChecks);
  pending_ns_ = expected_ns_ = last_elapsed_ns_ = 0.0;
  evidence_ns_ = measured_ns_ = kPrior * left_ns_;
  surprised_ = false;
  replans_ = 0;
  if (!request.replan) interval_ns_ = HUGE_VAL;
}

void Pace::check(int step, double elapsed_ns) {
  learn(elapsed_ns - last_elapsed_ns_);
  last_elapsed_ns_ = elapsed_ns;
  pending_ns_ = 0.0;
  const double slowdown = request_.slowdown * measured_ns_ / evidence_ns_;
  const double left_ns = request_.budget_ns - elapsed_ns;
  const double needed_ns = slowdown * left_ns_;
  if (needed_ns > left_ns + kLate * request_.budget_ns ||
      needed_ns < left_ns - kEarly * request_.budget_ns) {
    replan(step, left_ns / slowdown);
  }
}

void Pace::learn(double interval_ns) {
  const double expected_ns = pending_ns_;
  const double measured_ns = interval_ns / request_.slowdown;
  const double deviation = measured_ns * evidence_ns_ / (expected_ns * measured_ns_);
  const bool slower = deviation > kSurprise;
  const bool faster = deviation < 1.0 / kSurprise;
  if ((deviation > kStall || faster) && !surprised_) {
    // Once is chance: the time is lost or won already, what follows may be as before.
    surprised_ = true;
    return;
  }
  surprised_ = slower || faster;
  const double kept = surprised_ ? 0.0 : kMemory;
  evidence_ns_ = kept * evidence_ns_ + expected_ns;
  measured_ns_ = kept * measured_ns_ + measured_ns;
}

double Pace::planned_ns(int step) const {
  double sum = 0.0;
  for (int i = step; i < table_->steps(); ++i) {
    sum += table_->cost_ns(levels_[static_cast<size_t>(i)], i);
  }
  return sum;
}

// The densest level that fits; then its denser neighbour for as many steps as fit too. The sparser
// steps come first: what is still dense later can give way if the clock falls again.
void Pace::replan(int step, double budget_ns) {
  const std::vector<int>& allowed = table_->allowed();
  const int steps = table_->steps();
  size_t i = 0;
  while (i + 1 < allowed.size() && table_->remaining_ns(allowed[i], step) > budget_ns) ++i;
  const int sparser = allowed[i];
  const int denser = allowed[i == 0 ? 0 : i - 1];
  int cut = step;
  const double whole_ns = table_->remaining_ns(sparser, step);
  const auto mixed_ns = [&](int at) {
    return whole_ns - table_->remaining_ns(sparser, at) + table_->remaining_ns(denser, at);
  };
  while (cut < steps && mixed_ns(cut) > budget_ns) ++cut;
  const bool first = assign(step, cut, sparser);
  const bool second = assign(cut, steps, denser);
  if (first || second) ++replans_;
  left_ns_ = planned_ns(step);
}

bool Pace::assign(int step, int end, int level) {
  bool changed = false;
  for (int i = step; i < end; ++i) {
    int& present = levels_[static_cast<size_t>(i)];
    changed = changed || present != level;
    present = level;
  }
  return changed;
}

}  // namespace aio
