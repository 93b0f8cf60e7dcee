# SPDX-License-Identifier: Apache-2.0
"""`aio profile`: latency across governors and clocks, real ones or those of an emulated device.

Nothing is set unless `--set-freq`, `--governors` or `--gpu-freq` asks for it, and what was found
is put back in the end, after a kill by the next `aio profile`.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aio.runtime.printing import json_text

if TYPE_CHECKING:
    from aio.runtime.profiling.recording import Effort
    from aio.runtime.profiling.result import Profile
    from aio.runtime.profiling.session import Options

HELP = "measure latency, levels and energy across governors and clocks, beside other engines"
EXAMPLES = """\
examples:
  aio profile                                         as the machine is, nothing is changed
  aio profile resnet18.aio --compare fixed:0,adaptive,ort --output resnet18
  sudo aio profile --set-freq 600000,1200000,1500000  at three clocks, in kHz
  sudo aio profile --governors performance,schedutil --rate 20
  aio profile --device jetson-orin-nano --governors performance,schedutil,ondemand,powersave \\
      --compare fixed:0.0,adaptive,ort                emulated, and labelled so everywhere
  aio profile --assert 'p99<20ms' --assert 'cv<0.05'  exit code 1 unless both hold
  aio profile --sustained 30m                         medians by minute, when throttling begins
  aio profile diff before/profile.json after/profile.json
  sudo aio profile --restore                          put back what a killed run left set
"""
DIFF = "diff"
EXIT_MISSED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("model", nargs="*", help="model file (the shipped one); or: diff A.json B.json")
    add("--onnx", type=Path, metavar="FILE", help="also, or only, an ONNX file in ONNX Runtime")
    add(
        "--compare",
        metavar="LIST",
        help="what to measure in turns: fixed:RATIO, table, adaptive, ort (adaptive)",
    )
    sweep = parser.add_argument_group("points")
    sweep.add_argument("--governors", metavar="G[,G]", help="cpufreq governors to set")
    sweep.add_argument("--set-freq", metavar="KHZ[,KHZ]|all", help="CPU clocks to set, in kHz")
    sweep.add_argument("--gpu-freq", type=int, metavar="HZ", help="GPU clock to set, in Hz")
    sweep.add_argument("--device", metavar="NAME", help="emulate a board (aio emulate --list)")
    sweep.add_argument(
        "--span",
        type=float,
        default=3.0,
        help="emulated clocks go down to this part of the highest; 3 is a third of it (3)",
    )
    _add_effort(parser.add_argument_group("how long, how often, where"))
    outputs = parser.add_argument_group("results")
    outputs.add_argument("--output", type=Path, metavar="DIR", help="folder (aio-profile-TIME)")
    outputs.add_argument("--no-files", action="store_true", help="write no files")
    outputs.add_argument(
        "--calibrate",
        nargs="?",
        const="",
        metavar="DIR",
        help="also calibrate at every point, for Runtime.load (the user's cache)",
    )
    outputs.add_argument("--json", action="store_true", help="print JSON instead of tables")
    outputs.add_argument(
        "--assert",
        dest="asserts",
        action="append",
        default=[],
        metavar="[SUBJECT:]FIGURE<LIMIT",
        help="such as p99<20ms, cv<0.05, table:spread<10%%; exit code 1 if it does not hold",
    )
    add("--restore", action="store_true", help="only put back settings that a killed run left")


def _add_effort(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--count", type=int, metavar="N", help="calls per subject and point")
    add("--seconds", type=float, metavar="S", help="time per subject and point")
    add(
        "--precision",
        type=float,
        default=0.02,
        metavar="P",
        help="without those: until the 95 %% interval of each median is this part of it, "
        "or 8 seconds (0.02)",
    )
    add("--sustained", metavar="TIME", help="one point for so long, such as 90s, 30m, 1h")
    add("--rate", type=float, metavar="HZ", help="calls per second, at fixed times")
    add("--idle-ms", type=float, default=0.0, metavar="MS", help="pause after each call (0)")
    add("--batch", type=int, metavar="N", help="samples per call (1; emulated: 20 ms of them)")
    add("--target-ms", type=float, metavar="MS", help="latency of one sample to hold")
    add("--deadline-ms", type=float, metavar="MS", help="of a call (1.2 times the target)")
    add("--threads", type=int, help="threads to compute with (as many as make sense)")
    add("--cpus", metavar="LIST", help="CPUs to run on: big or little cores, or such as 0-1,3")


def run(args: argparse.Namespace) -> int:
    """Put back what was left set, then measure every point."""
    if args.model[:1] == [DIFF]:
        return _diff(args.model[1:])
    replayed = _replay(strict=args.restore)
    for line in replayed:
        _say(f"put back {line}")
    if args.restore:
        if not replayed:
            _say("nothing was left set")
        return 0
    from aio.runtime.profiling.slo import parse_assertion  # noqa: PLC0415

    options = _options(args)
    assertions = [parse_assertion(text) for text in args.asserts]
    for assertion in assertions:
        assertion.check_subject([*(s.name for s in options.wanted.specs)])
    profile, problems = _measure(args, options)
    _print(profile, as_json=args.json)
    for problem in problems:
        _say(f"error: {problem}")
    if profile.recording.interrupted is not None:
        _say(f"interrupted by {profile.recording.interrupted}: the results are partial")
        return profile.recording.exit_code
    missed = [line for item in assertions for line in item.failures(profile)]
    for line in missed:
        _say(f"failed: {line}")
    return EXIT_MISSED if missed or problems else 0


def _measure(args: argparse.Namespace, options: "Options") -> "tuple[Profile, list[str]]":
    """Return the profile, and what could not be written."""
    from aio.runtime.commands.progress import progress_bar  # noqa: PLC0415
    from aio.runtime.profiling.files import CSV_NAME, disk_problem, write_files  # noqa: PLC0415
    from aio.runtime.profiling.sample_file import SampleFile  # noqa: PLC0415
    from aio.runtime.profiling.session import profile  # noqa: PLC0415

    if args.no_files:
        with progress_bar("measuring") as progress:
            return profile(options, progress=progress), []
    folder = args.output or Path(time.strftime("aio-profile-%Y%m%d-%H%M%S"))
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with SampleFile(folder / CSV_NAME) as samples, progress_bar("measuring") as progress:
        try:
            result = profile(options, keep=samples.keep, progress=progress)
        except BaseException:
            if not samples.kept:  # nothing was measured: leave nothing behind
                samples.path.unlink()
                if fresh:
                    folder.rmdir()
            raise
    written = write_files(result, folder)
    for note in written.skipped:
        _say(note)
    problems = list(written.problems)
    if samples.error is None:
        written.names.append(CSV_NAME)
    else:
        problems.append(disk_problem(samples.path, samples.error))
    _say(f"wrote {', '.join(written.names) or 'nothing'} to {folder}")
    return result, problems


def _options(args: argparse.Namespace) -> "Options":
    from aio.runtime.profiling.session import Options  # noqa: PLC0415
    from aio.runtime.profiling.subjects import Wanted, parse_subjects  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

    if len(args.model) > 1:
        raise ValueError(f"{len(args.model)} models: expected one")
    _check_positive(args)
    onnx_only = args.onnx is not None and not args.model and args.compare is None
    model = None if onnx_only else Path(args.model[0]) if args.model else SHIPPED_MODEL
    specs = () if onnx_only else parse_subjects(args.compare or "adaptive")
    emulated = args.device is not None
    return Options(
        wanted=Wanted(
            model=model,
            specs=specs,
            onnx=args.onnx,
            threads=args.threads,
            batch=args.batch if args.batch is not None or emulated else 1,
            target_ms=args.target_ms,
        ),
        effort=_effort(args),
        governors=_words(args.governors),
        freqs=_clocks_khz(args.set_freq),
        gpu_hz=args.gpu_freq,
        device=args.device,
        span=args.span,
        cpus=_cpus(args.cpus),
        deadline_ms=args.deadline_ms,
        calibration_dir=_calibration_dir(args),
    )


def _calibration_dir(args: argparse.Namespace) -> Path | None:
    from aio.runtime.calibration_cache import default_cache_dir  # noqa: PLC0415

    if args.calibrate is None:
        return None
    if args.calibrate:
        return Path(args.calibrate)
    folder = default_cache_dir()
    if args.device is not None or folder is None:
        why = "what is emulated is not kept in the user's cache" if folder else "no cache folder"
        raise ValueError(f"--calibrate: {why}; name a folder, as --calibrate DIR")
    return folder


def _effort(args: argparse.Namespace) -> "Effort":
    from aio.runtime.profiling.recording import Effort  # noqa: PLC0415
    from aio.runtime.profiling.sustained import duration_s  # noqa: PLC0415

    named = {"--count": args.count, "--seconds": args.seconds, "--sustained": args.sustained}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: name one of them")
    if args.rate is not None and args.idle_ms > 0:
        raise ValueError("--rate and --idle-ms are two paces: name one of them")
    pace: Effort = Effort(rate=args.rate, idle_ms=args.idle_ms)
    if args.sustained is not None:
        seconds = duration_s(args.sustained)
        return replace(pace, seconds=seconds, stable=None, sustained=True)
    if args.count is not None:
        return replace(pace, count=args.count, stable=None)
    if args.seconds is not None:
        return replace(pace, seconds=args.seconds, stable=None)
    return replace(pace, stable=args.precision)


def _check_positive(args: argparse.Namespace) -> None:
    names = ("count", "seconds", "precision", "rate", "batch", "target_ms", "deadline_ms")
    for name in names:
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} is {value}, expected more than 0")
    if not 0 <= args.idle_ms < 3_600_000:
        raise ValueError(f"--idle-ms is {args.idle_ms}, expected at least 0")


def _replay(*, strict: bool) -> tuple[str, ...]:
    from aio.governors.settings import HeldError, replay_journals  # noqa: PLC0415

    try:
        return replay_journals()
    except HeldError as error:
        if strict:
            raise
        _say(f"note: {error}")
        return ()


def _diff(paths: list[str]) -> int:
    from aio.runtime.profiling.diff import differences  # noqa: PLC0415
    from aio.runtime.profiling.document import read_document  # noqa: PLC0415
    from aio.runtime.profiling.text import diff_text  # noqa: PLC0415

    if len(paths) != 2:
        raise ValueError(f"diff compares two profiles, got {len(paths)}: aio profile diff A B")
    before, after = (read_document(Path(path)) for path in paths)
    print(diff_text(differences(before, after)))
    return 0


def _print(profile: "Profile", *, as_json: bool) -> None:
    from aio.runtime.profiling.document import as_document  # noqa: PLC0415
    from aio.runtime.profiling.text import profile_text  # noqa: PLC0415

    print(json_text(as_document(profile)) if as_json else profile_text(profile))


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _clocks_khz(text: str | None) -> tuple[int, ...] | str | None:
    if text is None or text == "all":
        return text
    words = _words(text)
    wrong = [word for word in words if not (word.isascii() and word.isdigit())]
    if wrong or not words:
        raise ValueError(f"--set-freq {text!r}: expected frequencies in kHz, or all")
    return tuple(int(word) for word in words)


def _cpus(text: str | None) -> tuple[int, ...] | None:
    from aio.governors.parsing import parse_cpus  # noqa: PLC0415
    from aio.governors.sysfs import Sysfs  # noqa: PLC0415
    from aio.governors.topology import (  # noqa: PLC0415
        allowed_cpus,
        fastest_class,
        slowest_class,
    )

    if text is None:
        return None
    kind = {"big": fastest_class, "little": slowest_class}.get(text)
    if kind is not None:
        return tuple(sorted(kind(Sysfs(), allowed_cpus()).cpus))
    cpus = parse_cpus(text)
    if not cpus:
        raise ValueError(f"--cpus is {text!r}, expected a list such as 0-1,3, or big or little")
    return tuple(cpus)


def _say(message: str) -> None:
    print(f"aio profile: {message}", file=sys.stderr, flush=True)
