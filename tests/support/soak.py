# SPDX-License-Identifier: Apache-2.0
"""Many inferences from several threads at random levels, in a process whose memory must not grow.

Run by `scripts/soak` and, shorter, by tests/integration/test_soak.py. Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import threading

import numpy as np
import psutil  # type: ignore[import-untyped]

from aio.runtime import Runtime

CLIENTS = 4
WARM_UP = 500  # inferences; by then every thread has its stack, arenas and caches
BATCH = 2


def rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def work(runtime: Runtime, count: int, seed: int, wrong: list[str]) -> None:
    """Infer `count` times at random levels; what differs from the first answers goes to `wrong`."""
    rng = np.random.default_rng(seed)
    x = rng.random((BATCH, *runtime.inputs[0].shape), dtype=np.float32)
    expected = [runtime.infer(x, level=level.index) for level in runtime.levels]
    for _ in range(count):
        level = int(rng.integers(len(expected)))
        if not np.array_equal(runtime.infer(x, level=level), expected[level]):
            wrong.append(f"seed {seed}, level {level}")


def run_clients(runtime: Runtime, count: int, wrong: list[str]) -> None:
    clients = [
        threading.Thread(target=work, args=(runtime, count // CLIENTS, seed, wrong))
        for seed in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def main() -> None:
    count = int(sys.argv[1])
    wrong: list[str] = []
    with Runtime.load(threads=2, calibrate=False) as runtime:
        run_clients(runtime, WARM_UP, wrong)
        before = rss_mib()
        run_clients(runtime, count, wrong)
        growth = rss_mib() - before
        inferences = runtime.stats().inferences
    report = {"inferences": inferences, "rss_mib": before, "growth_mib": growth, "wrong": wrong}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
