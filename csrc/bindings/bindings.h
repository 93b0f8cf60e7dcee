// SPDX-License-Identifier: Apache-2.0
//
// The only place that knows Python: arrays in and out, and Status to ValueError.
#ifndef AIO_CSRC_BINDINGS_BINDINGS_H_
#define AIO_CSRC_BINDINGS_BINDINGS_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "csrc/base/isa.h"
#include "csrc/base/status.h"
#include "csrc/executor/graph.h"

namespace aio {

void bind_machine(pybind11::module_& module);
void bind_graph(pybind11::module_& module);
void bind_operators(pybind11::class_<Graph>& graph);
void bind_executor(pybind11::module_& module);
void bind_pace(pybind11::module_& module);

// Aligned, as kernels and packers read the arrays where they are.
using FloatArray =
    pybind11::array_t<float, pybind11::array::c_style | pybind11::array::forcecast |
                                 static_cast<int>(pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_)>;
using MaybeArray = std::optional<FloatArray>;

// The array where it is, or the copy of it that a conversion needed. It lives as long as the view;
// the last one may go on any thread.
inline Floats view(const MaybeArray& array) {
  if (!array) return {};
  pybind11::handle object = *array;
  object.inc_ref();
  std::shared_ptr<const void> owner(object.ptr(), [object](const void*) {
    pybind11::gil_scoped_acquire gil;
    object.dec_ref();
  });
  return {std::move(owner), array->data(), static_cast<size_t>(array->size())};
}

using DoubleArray =
    pybind11::array_t<double, pybind11::array::c_style | pybind11::array::forcecast>;

// The values of an array of levels x layers, row by row.
inline std::vector<double> matrix_values(const DoubleArray& array) {
  if (array.ndim() != 2) {
    throw pybind11::value_error("expected an array of levels x layers, got " +
                                std::to_string(array.ndim()) + " axes");
  }
  return {array.data(), array.data() + array.size()};
}

inline void raise_if_error(const Status& status) {
  if (!status.is_ok()) throw pybind11::value_error(status.message());
}

// The ISA a caller named, or AIO_FORCE_ISA, or the best one here; ValueError for a name that won't
// do.
inline Isa isa_or_raise(const std::string& requested) {
  Isa isa = Isa::kScalar;
  raise_if_error(choose_isa(requested, detect_isa(), &isa));
  return isa;
}

// (C, H, W), or (features,) for a flat value.
inline pybind11::tuple shape_tuple(const Shape& shape) {
  if (shape.flat) return pybind11::make_tuple(shape.size());
  return pybind11::make_tuple(shape.channels, shape.height, shape.width);
}

}  // namespace aio

#endif  // AIO_CSRC_BINDINGS_BINDINGS_H_
