// SPDX-License-Identifier: Apache-2.0
#include "csrc/bindings/bindings.h"

PYBIND11_MODULE(_native, module) {
  module.doc() = "Native core of aio.runtime; private.";
  aio::bind_machine(module);
  aio::bind_graph(module);
  aio::bind_executor(module);
  aio::bind_pace(module);
}
