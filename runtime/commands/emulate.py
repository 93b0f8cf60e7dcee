# SPDX-License-Identifier: Apache-2.0
"""`aio emulate`: run a program as if this machine's clocks were those of a board."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING

from aio.runtime.printing import json_text, text_table

if TYPE_CHECKING:
    from aio.governors.emulation.realtime import CheckedPoint, RealtimeEmulation

HELP = "run a program under emulated clocks, with a sysfs tree that shows them"
EXAMPLES = """\
examples:
  aio emulate --device jetson-nano --governor schedutil -- aio-serve resnet18.aio
  aio emulate --device jetson-orin-nano --trace steps -- ./my_benchmark --seconds 60
  aio emulate --device raspberry-pi-4 --governor performance --trace undervoltage -- ./app
  aio emulate --device jetson-orin-nano --trace steps --check-only
  aio emulate --list

Everything is emulated: a real-time process per CPU takes a part of every period away. Before the
program starts, the slow-down achieved is measured and printed. The program finds the clocks at
$AIO_SYSFS_ROOT. See docs/emulation.md for what this can't show.
"""
EXIT_OFF = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="program and arguments")
    add("--device", metavar="NAME", help="the board, see --list")
    add("--governor", metavar="NAME", help="cpufreq governor (as trace or board want it)")
    add("--trace", metavar="FILE|NAME", help="what happens and when, see --list (nothing)")
    add("--speedup", type=float, default=1.0, help="play the trace this many times as fast (1)")
    add("--cpus", metavar="LIST", help="CPUs to use, such as 0-1,3 (all that are allowed)")
    add("--period-us", type=int, metavar="N", help="how often time is taken away (1000)")
    add("--no-check", action="store_true", help="don't measure the slow-down first")
    add("--check-only", action="store_true", help="measure the slow-down and run nothing")
    add("--json", action="store_true", help="print the measured slow-down as JSON")
    add("--list", action="store_true", help="list devices, governors and traces")


def run(args: argparse.Namespace) -> int:
    """Emulate around the program and return its exit code."""
    if args.list:
        print(_listing())
        return 0
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if args.device is None:
        raise ValueError("--device is missing; `aio emulate --list` lists them")
    if bool(command) == args.check_only:
        what = "and no program with it" if args.check_only else "or --check-only"
        raise ValueError(f"expected a program after --, {what}")
    with _signals_end_us(), _emulation(args) as emulation:
        _report(emulation, args)
        if args.check_only:
            return EXIT_OFF if any(point.off for point in emulation.checked) else 0
        return _run_program(emulation, command)


def _emulation(args: argparse.Namespace) -> "RealtimeEmulation":
    from aio.governors.emulation import load_trace  # noqa: PLC0415
    from aio.governors.emulation.realtime import RealtimeEmulation  # noqa: PLC0415
    from aio.governors.emulation.realtime.thieves import PERIOD_US  # noqa: PLC0415

    trace = None if args.trace is None else load_trace(args.trace).faster(args.speedup)
    return RealtimeEmulation(
        args.device,
        governor=args.governor,
        trace=trace,
        cpus=None if args.cpus is None else _cpus(args.cpus),
        period_us=PERIOD_US if args.period_us is None else args.period_us,
        check=not args.no_check or args.check_only,
    )


def _cpus(text: str) -> tuple[int, ...]:
    from aio.governors.parsing import parse_cpus  # noqa: PLC0415

    cpus = parse_cpus(text)
    if not cpus:
        raise ValueError(f"--cpus is {text!r}, expected a list such as 0-1,3")
    return cpus


def _run_program(emulation: "RealtimeEmulation", command: Sequence[str]) -> int:
    from aio.governors.emulation.realtime.child import NotStarted, run_program  # noqa: PLC0415
    from aio.governors.sysfs import ROOT_VARIABLE  # noqa: PLC0415

    environment = {**os.environ, ROOT_VARIABLE: str(emulation.root)}
    # What is calibrated under emulation must not be taken for this machine later.
    environment.setdefault("AIO_CACHE_DIR", str(emulation.root / "cache"))
    told: list[str] = []

    def poll() -> None:
        if emulation.failed is not None and not told:
            told.append(emulation.failed)
            _say(f"no longer emulated: {emulation.failed}")

    try:
        return run_program(command, environment, emulation.cpus, emulation.watch, poll)
    except NotStarted as error:
        _say(str(error))
        return error.code


def _report(emulation: "RealtimeEmulation", args: argparse.Namespace) -> None:
    """Print what is emulated and the slow-down measured, on standard error."""
    if args.json:
        document = {
            "emulated": emulation.label,
            "root": str(emulation.root),
            "cost_us": emulation.cost_ns / 1000,
            "points": [{**asdict(point), "error": point.error} for point in emulation.checked],
        }
        # Standard output belongs to the program, if there is one.
        print(json_text(document), file=sys.stdout if args.check_only else sys.stderr, flush=True)
        return
    _say(emulation.label)
    if emulation.checked:
        print(_table(emulation.checked), file=sys.stderr, flush=True)
    off = [f"{point.speed:.2f}" for point in emulation.checked if point.off]
    if off:
        _say(f"warning: the slow-down is off by more than 10 % at speed {', '.join(off)}")


def _table(points: "Sequence[CheckedPoint]") -> str:
    rows = [
        [
            f"{point.speed:.3f}",
            f"{point.wanted:.2f}x",
            f"{point.achieved:.2f}x",
            f"{point.spread:.2f}",
            f"{point.error:+.1%}",
        ]
        for point in points
    ]
    return text_table(["emulated speed", "wanted", "achieved", "+-", "error"], rows)


def _listing() -> str:
    from aio.governors.devices import device_names, ladder, load_device  # noqa: PLC0415
    from aio.governors.emulation import (  # noqa: PLC0415
        governor_names,
        load_trace,
        trace_names,
    )

    devices = []
    for name in device_names():
        device = load_device(name)
        steps = ladder(device)
        clocks = f"{steps.min_khz / 1000:.0f} to {steps.max_khz / 1000:.0f} MHz"
        devices.append([name, device.title, f"{len(device.cpus)} CPUs", clocks, device.governor])
    header = ["device", "", "", "fastest policy", "governor"]
    traces = [[name, load_trace(name).about] for name in trace_names()]
    return "\n\n".join(
        [
            text_table(header, devices, left=2),
            f"governors: {', '.join(governor_names())}",
            text_table(["trace", ""], traces, left=2),
        ]
    )


@contextlib.contextmanager
def _signals_end_us() -> Iterator[None]:
    """Leave in good order when we are asked to end before or after the program runs."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(message: str) -> None:
    print(f"aio emulate: {message}", file=sys.stderr, flush=True)
