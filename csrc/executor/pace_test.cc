// SPDX-License-Identifier: Apache-2.0
//
// Inferences in virtual time: what the pace does when the clock falls, rises or stands still for a
// moment, and that it never leaves the levels it may use.
#include "csrc/executor/pace.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "csrc/base/check.h"

namespace {

constexpr int kSteps = 21;
constexpr double kBudgetNs = 20e6;
constexpr std::array kLevelCosts = {1.0, 0.85, 0.7, 0.55, 0.45, 0.35, 0.3, 0.22};
constexpr int kLevels = static_cast<int>(kLevelCosts.size());

std::vector<int> all_levels() {
  std::vector<int> levels(kLevelCosts.size());
  std::iota(levels.begin(), levels.end(), 0);
  return levels;
}

// Steps of about equal cost, as in a residual network; the densest level takes the whole budget.
aio::PaceTable make_table(const std::vector<int>& allowed) {
  std::vector<double> costs;
  for (const double level : kLevelCosts)
    costs.insert(costs.end(), kSteps, level * kBudgetNs / kSteps);
  aio::PaceTable table;
  AIO_CHECK(aio::PaceTable::create(kLevels, kSteps, costs, allowed, &table).is_ok());
  return table;
}

// Runs an inference whose clock is `speed(time)` times the one expected; returns how long it takes.
double run(aio::Pace* pace, const aio::PaceTable& table, int planned,
           const aio::PaceRequest& request, const std::function<double(double)>& speed) {
  constexpr double kTickNs = 2e3;
  pace->begin(std::vector<int>(kSteps, planned).data(), request);
  double now = 0.0;
  for (int step = 0; step < kSteps; ++step) {
    if (pace->due()) pace->check(step, now);
    double work = table.cost_ns(pace->next(step), step);
    while (work > 0.0) {
      const double tick = std::min(kTickNs, work / speed(now));
      work -= tick * speed(now);
      now += tick;
    }
  }
  return now;
}

void test_a_plan_that_holds_is_left_alone() {
  const aio::PaceTable table = make_table(all_levels());
  aio::Pace pace(&table);
  const double took = run(&pace, table, 0, {kBudgetNs}, [](double) { return 1.0; });
  AIO_CHECK(pace.replans() == 0);
  AIO_CHECK(pace.levels() == std::vector<int>(kSteps, 0));
  AIO_CHECK(std::abs(took - pace.expected_ns()) < 1.0);
}

void test_half_the_clock_at_any_moment_keeps_the_budget() {
  const aio::PaceTable table = make_table(all_levels());
  aio::Pace pace(&table);
  for (int moment = 0; moment < 200; ++moment) {
    const double at = moment * kBudgetNs / 200;
    const auto speed = [at](double now) { return now < at ? 1.0 : 0.5; };
    AIO_CHECK(run(&pace, table, 0, {kBudgetNs}, speed) < 1.06 * kBudgetNs);
    const double without = run(&pace, table, 0, {kBudgetNs, 1.0, false}, speed);
    AIO_CHECK(std::abs(without - (2 * kBudgetNs - at)) < 1e4);
    AIO_CHECK(pace.replans() == 0);
  }
}

void test_a_known_slowdown_is_no_surprise() {
  const aio::PaceTable table = make_table(all_levels());
  aio::Pace pace(&table);
  (void)run(&pace, table, 4, {0.9 * kBudgetNs, 2.0}, [](double) { return 0.5; });
  AIO_CHECK(pace.replans() == 0);
}

void test_slack_is_used() {
  const aio::PaceTable table = make_table(all_levels());
  aio::Pace pace(&table);
  const double took = run(&pace, table, 7, {kBudgetNs}, [](double) { return 1.0; });
  AIO_CHECK(took > 0.9 * kBudgetNs && took <= 1.02 * kBudgetNs);
  AIO_CHECK(pace.levels().front() == 7 && pace.levels().back() < 7);
}

void test_one_stall_does_not_count_as_a_slow_clock() {
  const aio::PaceTable table = make_table(all_levels());
  aio::Pace pace(&table);
  // Stopped for a quarter of the budget; afterwards as fast as before.
  const auto speed = [](double now) {
    return now > 0.1 * kBudgetNs && now < 0.35 * kBudgetNs ? 1e-9 : 1.0;
  };
  const double took = run(&pace, table, 0, {kBudgetNs}, speed);
  AIO_CHECK(took > 0.93 * kBudgetNs && took < 1.03 * kBudgetNs);
}

void test_only_allowed_levels_are_chosen() {
  const aio::PaceTable table = make_table({3, 1});
  aio::Pace pace(&table);
  for (const double factor : {0.1, 0.5, 2.0, 10.0}) {
    (void)run(&pace, table, 1, {kBudgetNs}, [&](double) { return factor; });
    for (const int level : pace.levels()) AIO_CHECK(level == 1 || level == 3);
  }
}

// Whatever times are told, levels stay allowed and counts stay finite.
void test_any_times(std::mt19937* generator) {
  std::uniform_real_distribution<double> uniform;
  for (int round = 0; round < 300; ++round) {
    const aio::PaceTable table = make_table({0, 2, 6});
    aio::Pace pace(&table);
    pace.begin(std::vector<int>(kSteps, 2).data(), {kBudgetNs * uniform(*generator), 1.0});
    double now = 0.0;
    for (int step = 0; step < kSteps; ++step) {
      if (pace.due()) pace.check(step, now);
      const int level = pace.next(step);
      AIO_CHECK(level == 0 || level == 2 || level == 6);
      if (uniform(*generator) < 0.7) now += 1e7 * uniform(*generator);
    }
    AIO_CHECK(pace.expected_ns() > 0.0 && pace.expected_ns() < 1e9);
  }
}

void test_bad_tables_and_requests_are_refused() {
  aio::PaceTable table;
  AIO_CHECK(aio::PaceTable::create(2, 2, {1, 2, 3}, {0}, &table).message() ==
            "got 3 costs for 2 levels of 2 layers");
  AIO_CHECK(!aio::PaceTable::create(1, 1, {-1.0}, {0}, &table).is_ok());
  AIO_CHECK(!aio::PaceTable::create(1, 1, {std::nan("")}, {0}, &table).is_ok());
  AIO_CHECK(aio::PaceTable::create(2, 1, {2.0, 1.0}, {0, 2}, &table).message() ==
            "allowed levels must be some of 0 to 1");
  AIO_CHECK(!aio::PaceTable::create(2, 1, {2.0, 1.0}, {}, &table).is_ok());
  AIO_CHECK(!aio::check_request({-1.0}).is_ok());
  AIO_CHECK(!aio::check_request({1.0, 0.0}).is_ok());
  AIO_CHECK(aio::check_request({HUGE_VAL}).is_ok());
}

}  // namespace

int main() {
  std::mt19937 generator = aio::make_generator();
  test_a_plan_that_holds_is_left_alone();
  test_half_the_clock_at_any_moment_keeps_the_budget();
  test_a_known_slowdown_is_no_surprise();
  test_slack_is_used();
  test_one_stall_does_not_count_as_a_slow_clock();
  test_only_allowed_levels_are_chosen();
  test_any_times(&generator);
  test_bad_tables_and_requests_are_refused();
  return aio::finish_checks();
}
