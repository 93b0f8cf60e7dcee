# SPDX-License-Identifier: Apache-2.0
"""`aio doctor`: what this machine offers, what is used of it and why."""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from aio.runtime.commands.sensor_text import capability_table, policy_table, readings
from aio.runtime.errors import AioError
from aio.runtime.printing import json_text
from aio.runtime.version import package_version

HELP = "show instruction sets, threads, every sensor and whether the installation works"
EXAMPLES = """\
examples:
  aio doctor                           everything, for people
  aio doctor --json                    the same, for machines and bug reports
  AIO_SYSFS_ROOT=/tmp/tree aio doctor  with a tree of your own for /sys and /proc
"""


@dataclass(frozen=True)
class Check:
    """One thing that works or doesn't; the remedy is part of the detail."""

    name: str
    ok: bool
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Look at everything; the exit code is 1 if something needed doesn't work."""
    report = examine()
    print(json_text(report) if args.json else _text(report))
    return 0 if all(check["ok"] for check in report["checks"]) else 1


def examine() -> dict[str, Any]:
    """Return what can be said about this machine and this installation as plain data."""
    from aio.runtime.device import cpu_model  # noqa: PLC0415

    native, measure, native_check = _native()
    machine, machine_check = _machine(measure)
    checks = [native_check, machine_check, check_cache(), _check_model()]
    return {
        "version": package_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "native": native,
        "machine": machine,
        "checks": [asdict(check) for check in checks],
    }


def _native() -> tuple[dict[str, Any] | None, Callable[[], float] | None, Check]:
    name = "native core"
    try:
        from aio.runtime import _native as core  # noqa: PLC0415
    except ImportError as error:
        return None, None, Check(name, ok=False, detail=f"{error}: install the package again")
    try:
        info = dict(core.native_info())
    except ValueError as error:  # AIO_FORCE_ISA
        return None, core.measure_cpu_khz, Check(name, ok=False, detail=str(error))
    return info, core.measure_cpu_khz, Check(name, ok=True, detail=f"uses {info['isa_used']}")


def _machine(measure: Callable[[], float] | None) -> tuple[dict[str, Any] | None, Check]:
    from aio.governors.report import machine_report  # noqa: PLC0415

    try:
        report = machine_report(measure)
    except ValueError as error:  # AIO_SYSFS_ROOT
        return None, Check("sensors", ok=False, detail=str(error))
    driver = report["sample"]["clock"]["driver"]
    return report, Check("sensors", ok=True, detail=f"CPU clock from {driver}")


def check_cache() -> Check:
    """Say where calibrations are kept, if they can be."""
    from aio.runtime.calibration_cache import default_cache_dir  # noqa: PLC0415

    # Not being able to cache only costs the calibration at every load, so it never fails.
    folder = default_cache_dir()
    if folder is None:
        return Check("cache", ok=True, detail="no home folder, calibrations are not kept")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        detail = f"{folder} can't be written ({error.strerror}), set AIO_CACHE_DIR to keep them"
        return Check("cache", ok=True, detail=f"calibrations are not kept: {detail}")
    return Check("cache", ok=True, detail=f"calibrations are kept in {folder}")


def _check_model() -> Check:
    name = "shipped model"
    try:
        return Check(name, ok=True, detail=_try_model())
    except (AioError, OSError, ImportError) as error:
        return Check(name, ok=False, detail=str(error))


def _try_model() -> str:
    from aio.runtime import Runtime  # noqa: PLC0415
    from aio.runtime.requests import read_inputs  # noqa: PLC0415
    from aio.runtime.shipped import EXAMPLE_REQUEST  # noqa: PLC0415

    with Runtime.load(calibrate=False) as runtime:
        x = read_inputs(str(EXAMPLE_REQUEST), runtime.inputs)
        labels = runtime.outputs[0].labels or ()
        answers = [
            labels[runtime.infer(x, level=level.index)[0].argmax()] for level in runtime.levels
        ]
        return (
            f"{runtime.name}, {len(runtime.levels)} levels, says {answers[0]!r} to the example "
            f"at level 0, the same at {answers.count(answers[0])} of {len(answers)}"
        )


def _text(report: dict[str, Any]) -> str:
    parts = [_overview(report)]
    if report["machine"] is not None:
        parts.append(capability_table(report["machine"]["capabilities"]))
        if report["machine"]["policies"]:
            parts.append(policy_table(report["machine"]["policies"]))
    parts.append(checks_text(Check(**check) for check in report["checks"]))
    return "\n\n".join(parts)


def _overview(report: dict[str, Any]) -> str:
    native, machine = report["native"], report["machine"]
    lines = [
        ("aio-runtime", f"{report['version']}, Python {report['python']}, {report['platform']}"),
        ("processor", report["cpu"]),
    ]
    if native is not None:
        found = ", ".join(native["isa_found"])
        forced = " (AIO_FORCE_ISA)" if os.environ.get("AIO_FORCE_ISA") else ""
        lines.append(("instruction set", f"{native['isa_used']}{forced} of {found}"))
        lines.append(("compiler", native["compiler"]))
    if machine is not None:
        lines += [*readings(machine), ("sensor root", machine["root"])]
    width = max(len(key) for key, _ in lines)
    return "\n".join(f"{key:<{width}}  {value}" for key, value in lines)


def checks_text(checks: Iterable[Check]) -> str:
    """Return a line for each check."""
    return "\n".join(
        f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}" for check in checks
    )
