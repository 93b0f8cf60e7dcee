// SPDX-License-Identifier: Apache-2.0
#include "csrc/executor/pace.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <vector>

#include "csrc/bindings/bindings.h"

namespace py = pybind11;

namespace aio {
namespace {

// Table and pace of one simulated executor. Every inference and step of the network is announced by
// the caller, who also tells the time.
class SimulatedPace {
 public:
  SimulatedPace(const DoubleArray& cost_ns, std::vector<int> allowed) {
    std::vector<double> costs = matrix_values(cost_ns);
    raise_if_error(PaceTable::create(static_cast<int>(cost_ns.shape(0)),
                                     static_cast<int>(cost_ns.shape(1)), std::move(costs),
                                     std::move(allowed), &table_));
    pace_ = Pace(&table_);
  }

  void begin(const std::vector<int>& planned, double budget_ns, double slowdown, bool replan) {
    raise_if_error(check_plan(planned));
    raise_if_error(check_request({budget_ns, slowdown, replan}));
    pace_.begin(planned.data(), {budget_ns, slowdown, replan});
    step_ = 0;
  }

  int next(double elapsed_ns) {
    if (step_ == table_.steps()) throw py::value_error("every layer of the inference has run");
    if (pace_.due()) pace_.check(step_, elapsed_ns);
    return pace_.next(step_++);
  }

  const Pace& pace() const { return pace_; }

 private:
  Status check_plan(const std::vector<int>& planned) const {
    if (planned.size() != static_cast<size_t>(table_.steps())) {
      return Status::error("got " + std::to_string(planned.size()) + " levels for " +
                           std::to_string(table_.steps()) + " layers");
    }
    for (const int level : planned) {
      if (level < 0 || level >= table_.levels()) {
        return Status::error("level " + std::to_string(level) + " does not exist");
      }
    }
    return Status::ok();
  }

  PaceTable table_;
  Pace pace_{&table_};
  int step_ = 0;
};

}  // namespace

void bind_pace(py::module_& module) {
  py::class_<SimulatedPace>(module, "Pace")
      .def(py::init<const DoubleArray&, std::vector<int>>(), py::arg("cost_ns"), py::arg("allowed"))
      .def("begin", &SimulatedPace::begin, py::arg("planned"), py::kw_only(), py::arg("budget_ns"),
           py::arg("slowdown") = 1.0, py::arg("replan") = true)
      .def("next", &SimulatedPace::next, py::arg("elapsed_ns"))
      .def_property_readonly("expected_ns",
                             [](const SimulatedPace& self) { return self.pace().expected_ns(); })
      .def_property_readonly("replans",
                             [](const SimulatedPace& self) { return self.pace().replans(); })
      .def_property_readonly("levels",
                             [](const SimulatedPace& self) { return self.pace().levels(); });
}

}  // namespace aio
