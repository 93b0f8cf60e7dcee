# SPDX-License-Identifier: Apache-2.0
"""The folder a profile is written to; each file whole or not at all."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aio.runtime.printing import json_text
from aio.runtime.profiling.document import as_document
from aio.runtime.profiling.result import Profile
from aio.runtime.profiling.trace import trace_document

JSON_NAME, CSV_NAME, TRACE_NAME = "profile.json", "samples.csv", "trace.json"
HTML_NAME = "report.html"
EXTRA = "pip install 'aio-runtime[profile]'"


@dataclass(frozen=True, slots=True)
class Written:
    """Names of files written, why some were left out, and why others failed, with remedies."""

    names: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def write_files(profile: Profile, folder: Path) -> Written:
    """Write everything but the samples; what needs a missing extra is left out."""
    written = Written()

    def attempt(name: str, make: Callable[[], bytes]) -> None:
        try:
            replace(folder / name, make())
            written.names.append(name)
        except ModuleNotFoundError as error:
            written.skipped.append(f"no {name}: the module {error.name} is missing: {EXTRA}")
        except OSError as error:
            written.problems.append(disk_problem(folder / name, error))

    attempt(JSON_NAME, lambda: json_text(as_document(profile)).encode() + b"\n")
    attempt(TRACE_NAME, lambda: json.dumps(trace_document(profile), allow_nan=False).encode())
    attempt(HTML_NAME, lambda: _html(profile))
    for name, figure in _png_names(profile).items():
        attempt(name, figure)
    return written


def disk_problem(path: Path, error: OSError) -> str:
    """Return what a failed write means and what helps."""
    reason = (error.strerror or str(error)).lower()
    remedies = {
        errno.ENOSPC: "free some space, or name a folder on another disk with --output",
        errno.EROFS: "name a folder that can be written with --output",
        errno.EACCES: "name a folder that can be written with --output",
    }
    remedy = remedies.get(error.errno or 0)
    return f"{path} can't be written: {reason}" + (f"; {remedy}" if remedy else "")


def replace(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one beside it.

    Raises:
        OSError: it can't be written; a file that was there is as it was.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _html(profile: Profile) -> bytes:
    from aio.runtime.profiling.report import html_report  # noqa: PLC0415 - needs the extra

    return html_report(profile).encode()


def _png_names(profile: Profile) -> dict[str, Callable[[], bytes]]:
    def picture(which: str) -> Callable[[], bytes]:
        def make() -> bytes:
            from aio.runtime.profiling.pictures import draw  # noqa: PLC0415 - needs the extra

            return draw(profile, which)

        return make

    names = {"frequency": "latency-by-frequency.png", "time": "time-series.png"}
    names["distribution"] = "distribution.png"
    return {name: picture(which) for which, name in names.items()}
