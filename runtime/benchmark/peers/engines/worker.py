# SPDX-License-Identifier: Apache-2.0
"""One engine in a process of its own, driven over a pipe: `worker.py ENGINE THREADS BATCH PARENT`.

Run as a file, by whatever Python has the engine; needs NumPy. Every line on standard input is a
JSON request, every line on the pipe that was standard output the JSON answer; what engines print
goes to standard error. The first line says the engine's version, or which module is missing:

    {"do": "load", "model": PATH}             -> {"model": NUMBER}
    {"do": "answer", "model": NUMBER, "x": FILE.npy, "y": FILE.npy}   -> {}
    {"do": "time", "model": NUMBER, "warmup_ms": MS, "repeats": NUMBER}   -> {"ms": the median}
    {"do": "memory"}                          -> {"rss_bytes": now, "peak_rss_bytes": the most}
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_PR_SET_PDEATHSIG = 1


class Worker:
    """The models loaded so far, and what is asked of them."""

    def __init__(self, engine: Any, threads: int, batch: int) -> None:
        self._engine, self._threads, self._batch = engine, threads, batch
        self._models: list[Callable[[Array], Array]] = []
        self._x: Array | None = None

    def handle(self, request: dict[str, Any]) -> dict[str, object]:
        """Return the answer to a request."""
        handlers = {"load": self.load, "answer": self.answer, "time": self.time}
        if request["do"] == "memory":
            return memory()
        return handlers[request["do"]](request)

    def load(self, request: dict[str, Any]) -> dict[str, object]:
        """Load one more model."""
        self._models.append(self._engine.load(request["model"], self._threads, self._batch))
        return {"model": len(self._models) - 1}

    def answer(self, request: dict[str, Any]) -> dict[str, object]:
        """Answer an input, which is also what is timed from now on."""
        self._x = np.load(request["x"])
        np.save(request["y"], self._models[request["model"]](self._x))
        return {}

    def time(self, request: dict[str, Any]) -> dict[str, object]:
        """Return the median of some runs, after warming up."""
        infer = self._models[request["model"]]
        warm_ms = 0.0
        while warm_ms < request["warmup_ms"]:
            warm_ms += self._run_ms(infer)
        return {"ms": median(self._run_ms(infer) for _ in range(request["repeats"]))}

    def _run_ms(self, infer: Callable[[Array], Array]) -> float:
        assert self._x is not None, "an answer is asked for first"
        begin_ns = time.perf_counter_ns()
        infer(self._x)
        return (time.perf_counter_ns() - begin_ns) / 1e6


def memory() -> dict[str, object]:
    """Return the resident memory of this process.

    From /proc: the maximum that getrusage knows includes what the parent had before exec.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = dict(line.split(":", 1) for line in lines)
    kib = {name: int(found[name].split()[0]) for name in ("VmRSS", "VmHWM")}
    return {"rss_bytes": 1024 * kib["VmRSS"], "peak_rss_bytes": 1024 * kib["VmHWM"]}


def main(arguments: list[str]) -> int:
    """Answer requests until standard input ends."""
    # A stopped process does not notice that its parent ended; the kernel ends it.
    name, threads, batch, parent = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it ended before that
        return 1
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def say(answer: dict[str, object]) -> None:
        pipe.write(json.dumps(answer) + "\n")
        pipe.flush()

    try:
        engine = import_module(name)
        say({"version": engine.version()})
    except ModuleNotFoundError as error:
        say({"missing": error.name})
        return 0
    worker = Worker(engine, int(threads), int(batch))
    for line in sys.stdin:
        say(worker.handle(json.loads(line)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
