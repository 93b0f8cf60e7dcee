# SPDX-License-Identifier: Apache-2.0
"""Loads a model file in a process of its own and prints what its memory grew by, as JSON.

    load_memory.py WARM-UP-MODEL MODEL

`peak_mib` is the most that was resident while the model was loaded, `resident_mib` what stays with
its executor, both beyond what the process had before; the first model brings in what every load
needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from aio.runtime.lowering import build_executor
from aio.runtime.model_file import read_model_file

if TYPE_CHECKING:
    from aio.runtime import _native


def load(path: str) -> _native.Executor:
    return build_executor(read_model_file(path), threads=1, isa=None, keep_weights=False)


def resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10


def main() -> None:
    warm_up, model = sys.argv[1:]
    load(warm_up)
    before = resident_mib()
    executor = load(model)
    report = {
        "peak_mib": peak_mib() - before,
        "resident_mib": resident_mib() - before,
        "weights_mib": executor.weight_bytes / 2**20,
        "arena_mib": executor.arena_bytes / 2**20,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
