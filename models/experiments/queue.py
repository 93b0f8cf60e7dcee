# SPDX-License-Identifier: Apache-2.0
"""Works through the runs of a comparison, several at a time, each a process.

What is done is on disk as one JSON file per run, so a queue that was stopped, or whose machine was,
goes on where it was; a run that was interrupted goes on from its last epoch. A run that fails keeps
its log and does not stop the others, unless they need it.
"""

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aio.models.errors import ModelError
from aio.models.experiments.plan import Plan, Run

POLL_S = 0.2
Command = Callable[[Run], Sequence[str]]


def is_done(run: Run, folder: Path) -> bool:
    """Tell whether a run has left a result that can be read."""
    try:
        json.loads((folder / f"{run.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def run_command(folder: Path) -> Command:
    """Return what gives the command line of a run."""
    base = [sys.executable, "-m", "aio.runtime.cli", "evaluate", str(folder), "--run"]
    return lambda run: [*base, run.name]


def work(
    plan: Plan,
    folder: Path,
    jobs: int,
    command: Command,
    report: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Do all runs that are not done, and return the names of those that failed.

    Raises:
        ModelError: another process works through the same folder.
    """
    if jobs < 1:
        raise ModelError(f"jobs {jobs} is too small, the least is 1")
    with _alone(folder):
        return _Queue(plan, folder, command, report).work(jobs)


class _Queue:
    def __init__(
        self, plan: Plan, folder: Path, command: Command, report: Callable[[str], None]
    ) -> None:
        self._plan, self._folder = plan, folder
        self._command, self._report = command, report
        self._waiting = [run for run in plan.runs() if not is_done(run, folder)]
        self._running: dict[Run, subprocess.Popen[bytes]] = {}
        self._failed: list[str] = []
        self._started = time.monotonic()
        self._todo = sum(plan.passes(run) for run in self._waiting)
        self._passed = 0

    def work(self, jobs: int) -> list[str]:
        try:
            while self._waiting or self._running:
                self._drop_hopeless()
                while len(self._running) < jobs and (run := self._next()) is not None:
                    self._start(run)
                self._collect()
                time.sleep(POLL_S)
        finally:
            for process in self._running.values():
                process.terminate()
                process.wait()
        return self._failed

    def _next(self) -> Run | None:
        """Take a run out of the queue whose weights are there, None if there is none now."""
        names = {run.name for run in (*self._waiting, *self._running)}
        for run in self._waiting:
            if run.needs not in names:
                self._waiting.remove(run)
                return run
        return None

    def _drop_hopeless(self) -> None:
        for run in [run for run in self._waiting if run.needs in self._failed]:
            self._waiting.remove(run)
            self._fail(run, f"{run.needs}, which it needs, failed")

    def _start(self, run: Run) -> None:
        log = (self._folder / f"{run.name}.log").open("ab")
        with log:
            self._running[run] = subprocess.Popen(
                self._command(run), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._report(f"{run.name}: begun")

    def _collect(self) -> None:
        for run, process in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[run]
            self._passed += self._plan.passes(run)
            if code == 0 and is_done(run, self._folder):
                self._report(f"{run.name}: done{self._estimate()}")
            else:
                self._fail(run, f"exit code {code}, see {self._folder / run.name}.log")

    def _fail(self, run: Run, reason: str) -> None:
        self._failed.append(run.name)
        self._report(f"{run.name}: failed, {reason}")

    def _estimate(self) -> str:
        if not self._passed:
            return ""
        elapsed_s = time.monotonic() - self._started
        left_s = elapsed_s * (self._todo - self._passed) / self._passed
        return f", about {left_s / 60:.0f} min left"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "queue.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"another aio evaluate works through {folder} already") from error
        yield
