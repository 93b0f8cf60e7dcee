# SPDX-License-Identifier: Apache-2.0
"""`aio profile`: latency and levels at the clocks of now, or at clocks that are set for it.

Nothing is set unless `--set-freq`, `--governor` or `--gpu-freq` asks for it, and what was found is
put back in the end, after a kill by the next `aio profile`.
"""

import argparse
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aio.runtime.commands.printing import MISSING, json_text, milliseconds, text_table

if TYPE_CHECKING:
    from aio.governors.settings import ClockSettings
    from aio.runtime.benchmark.profile import PointResult

HELP = "measure latency and levels, on request across governors and clocks"
EXAMPLES = """\
examples:
  aio profile                                         as the machine is, nothing is changed
  aio profile resnet18.aio --seconds 10 --level 0     the densest level alone
  sudo aio profile --set-freq 600000,1200000,1500000  at three clocks, in kHz
  sudo aio profile --set-freq all --json              at every operating point
  sudo aio profile --governor performance,schedutil   under two governors
  sudo aio profile --restore                          put back what a killed run left set
"""
DEFAULT_SECONDS = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("model", nargs="?", type=Path, help="model file (the shipped one)")
    add("--set-freq", metavar="KHZ[,KHZ]|all", help="CPU clocks to set and measure, in kHz")
    add("--governor", metavar="G[,G]", help="cpufreq governors to set and measure")
    add("--gpu-freq", type=int, metavar="HZ", help="GPU clock to set meanwhile, in Hz")
    add("--seconds", type=float, default=DEFAULT_SECONDS, metavar="S", help="per point (3)")
    add("--threads", type=int, help="threads to compute with (as many as make sense)")
    add("--level", type=int, help="use this level, 0 is the densest (follow the clock)")
    add("--json", action="store_true", help="print JSON")
    add("--restore", action="store_true", help="only put back settings that a killed run left")


def run(args: argparse.Namespace) -> int:
    """Put back what was left set, then measure every point."""
    replayed = _replay(strict=args.restore)
    for line in replayed:
        print(f"aio profile: put back {line}", file=sys.stderr)
    if args.restore:
        if not replayed:
            print("aio profile: nothing was left set", file=sys.stderr)
        return 0
    if not args.seconds > 0:
        raise ValueError(f"--seconds is {args.seconds}, expected more than 0")
    results = _measure(args)
    print(json_text(_document(results)) if args.json else _text(results))
    return 0


def _replay(*, strict: bool) -> tuple[str, ...]:
    from aio.governors.settings import HeldError, replay_journals  # noqa: PLC0415

    try:
        return replay_journals()
    except HeldError as error:
        if strict:
            raise
        print(f"aio profile: note: {error}", file=sys.stderr)
        return ()


def _measure(args: argparse.Namespace) -> "tuple[PointResult, ...]":
    from aio.governors.settings import ClockSettings  # noqa: PLC0415
    from aio.runtime import Runtime  # noqa: PLC0415
    from aio.runtime.benchmark.profile import Point, points, profile  # noqa: PLC0415
    from aio.runtime.commands.progress import progress_bar  # noqa: PLC0415

    governors = _words(args.governor)
    sets = bool(governors) or args.set_freq is not None or args.gpu_freq is not None
    with ExitStack() as stack:
        # Loaded, and so calibrated, at the clocks that were found.
        runtime = stack.enter_context(Runtime.load(args.model, threads=args.threads))
        clocks = stack.enter_context(ClockSettings()) if sets else None
        wanted: tuple[Point, ...] = (Point(),)
        if clocks is not None:
            wanted = points(governors, _clocks_khz(args.set_freq, clocks), args.gpu_freq)
        progress = stack.enter_context(progress_bar("measuring"))
        return profile(
            runtime, wanted, clocks, seconds=args.seconds, level=args.level, progress=progress
        )


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _clocks_khz(text: str | None, clocks: "ClockSettings") -> list[int]:
    if text == "all":
        return list(clocks.freqs_khz())
    words = _words(text)
    wrong = [word for word in words if not (word.isascii() and word.isdigit())]
    if wrong or (text is not None and not words):
        raise ValueError(f"--set-freq {text!r}: expected frequencies in kHz, or all")
    return [int(word) for word in words]


def _document(results: "tuple[PointResult, ...]") -> dict[str, object]:
    return {
        "sysfs_root": os.environ.get("AIO_SYSFS_ROOT") or "/",
        "points": [asdict(result) for result in results],
    }


def _text(results: "tuple[PointResult, ...]") -> str:
    header = ["governor", "wanted MHz", "seen MHz", "p50 ms", "p95 ms", "p99 ms", "mean ms"]
    header += ["cv", "changes", "time per level"]
    lines = [text_table(header, [_row(result) for result in results]), ""]
    drivers = ", ".join(sorted({result.clock_driver for result in results}))
    lines.append(f"clocks seen by {drivers}")
    if root := os.environ.get("AIO_SYSFS_ROOT"):
        lines.append(f"settings and clocks are those of AIO_SYSFS_ROOT={root}, not this machine's")
    notes = dict.fromkeys(note for result in results for note in result.notes)
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _row(result: "PointResult") -> list[str]:
    latency = result.latency_ms
    shares = " ".join(f"{share.level}:{share.time:.0%}" for share in result.levels)
    return [
        result.governor or MISSING,
        _mhz(result.wanted.cpu_khz),
        _mhz(result.seen_khz),
        *map(milliseconds, (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.mean_ms)),
        f"{result.cv:.1%}",
        str(result.level_changes),
        shares,
    ]


def _mhz(khz: int | None) -> str:
    return MISSING if khz is None else f"{khz / 1e3:.0f}"
