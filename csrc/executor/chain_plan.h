// SPDX-License-Identifier: Apache-2.0
//
// Which steps may run together, some rows of all of them after the other, so that what one hands to
// the next stays in a cache (executor/banded_chain.h).
#ifndef AIO_CSRC_EXECUTOR_CHAIN_PLAN_H_
#define AIO_CSRC_EXECUTOR_CHAIN_PLAN_H_

#include <cstdint>
#include <vector>

#include "csrc/executor/band_split.h"
#include "csrc/executor/graph.h"
#include "csrc/executor/planner.h"

namespace aio {

// Sets plan->chains: steps that follow each other, each the only one to read the one before it,
// where what is handed on takes at least `min_bytes`; as many as bands can be found for. Called
// when buffers have their sizes.
void find_chains(const Graph& graph, int64_t min_bytes, Plan* plan);

std::vector<ChainLink> chain_links(const Graph& graph, const Plan& plan, ChainRange range);

}  // namespace aio

#endif  // AIO_CSRC_EXECUTOR_CHAIN_PLAN_H_
