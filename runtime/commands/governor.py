# SPDX-License-Identifier: Apache-2.0
"""`aio governor`: one process reads the sensors for all; others find its samples in memory."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.runtime.printing import json_text, megahertz, number, text_table

if TYPE_CHECKING:
    from aio.governors import SensorSource

HELP = "sample clocks and sensors in one daemon for every process of the machine"
EXAMPLES = """\
examples:
  aio governor                               run in the foreground until Ctrl-C or SIGTERM
  aio governor --period-ms 50                sample 20 times a second
  aio governor status                        what the running daemon does
  aio governor set-period --period-ms 100    change it while it runs
  aio governor stop                          stop it
  AIO_SYSFS_ROOT=/tmp/tree aio governor      with a tree of your own for /sys and /proc

scripts/aio-governor.service runs it under systemd; docs/daemon.md says more.
"""

DEFAULT_PERIOD_MS = 20.0
_ACTIONS = ("run", "status", "set-period", "stop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("action", nargs="?", choices=_ACTIONS, default="run", help="what to do (%(default)s)")
    add("--period-ms", type=float, metavar="MS", help="time between samples (20)")
    add("--runtime-dir", type=Path, metavar="DIR", help="where the daemon publishes and listens")
    add("--json", action="store_true", help="print the daemon's answer as JSON")


def run(args: argparse.Namespace) -> int:
    """Be the daemon, or ask the one that runs."""
    if args.action == "run":
        return _serve(args)
    from aio.governors.daemon.console import ask  # noqa: PLC0415

    folders = None if args.runtime_dir is None else [args.runtime_dir]
    more = {}
    if args.action == "set-period":
        if args.period_ms is None:
            raise ValueError("set-period needs --period-ms")
        more = {"period_ms": args.period_ms}
    answer = ask(args.action, folders, **more)
    print(json_text(answer) if args.json else _text(args.action, answer))
    return 0


def _serve(args: argparse.Namespace) -> int:
    from aio.governors.daemon.folder import runtime_dir  # noqa: PLC0415
    from aio.governors.daemon.lock import LockedError  # noqa: PLC0415
    from aio.governors.daemon.service import serve  # noqa: PLC0415
    from aio.runtime.errors import AioError  # noqa: PLC0415

    logging.basicConfig(
        stream=sys.stderr, level="WARNING", format="aio governor: %(levelname)s: %(message)s"
    )
    folder = runtime_dir() if args.runtime_dir is None else args.runtime_dir.absolute()
    period_ms = DEFAULT_PERIOD_MS if args.period_ms is None else args.period_ms
    try:
        return serve(_open_sensors, folder, period_ms / 1e3, _announce)
    except LockedError as error:
        raise AioError(
            f"{error.holder} is the daemon of {folder} already; "
            "`aio governor stop` stops it, --runtime-dir runs another one"
        ) from error


def _open_sensors() -> "SensorSource":
    from aio.governors import open_sensors  # noqa: PLC0415
    from aio.runtime import _native  # noqa: PLC0415

    return open_sensors(_native.measure_cpu_khz)


def _announce(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:  # as in `aio governor | head -1`: the daemon goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _text(action: str, answer: dict[str, Any]) -> str:
    if action == "stop":
        return f"process {answer['pid']} stops"
    if action == "set-period":
        return f"a sample every {answer['period_ms']:g} ms"
    return _status(answer)


def _status(answer: dict[str, Any]) -> str:
    cost, load = number(answer["cost_us"], ".0f"), number(answer["load"], ".2%")
    lines = [
        f"process {answer['pid']}, up {answer['uptime_s']:.0f} s, publishes {answer['file']}",
        f"{answer['samples']} samples, one every {answer['period_ms']:g} ms, "
        f"{cost} us each ({load} of a core)",
    ]
    if (effective_ms := answer["effective_period_ms"]) > answer["period_ms"]:
        lines.append(f"slowed down to one every {effective_ms:.0f} ms, as they cost much")
    if answer["problem"]:
        lines.append(f"PROBLEM: {answer['problem']}")
    if (sample := answer["sample"]) is not None:
        clock = sample["clock"]
        reading = (
            clock["error"] or f"{megahertz(clock['cpu_khz'])} of {megahertz(clock['max_khz'])}"
        )
        lines.append(f"clock {reading} ({clock['driver']})")
    header = ["quantity", "driver", "", "reason"]
    rows = [
        [item["quantity"], item["driver"], item["status"], item["reason"]]
        for item in answer["capabilities"]
    ]
    return "\n".join([*lines, "", text_table(header, rows, left=4)])
