# SPDX-License-Identifier: Apache-2.0
"""Make `tests/support` importable, keep tests out of the user's cache, and fail on skips.

A test may be skipped only for hardware that is not there: any other skip fails the run.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

ALLOWED_SKIPS = (
    "is not supported by this processor",
    "needs two vector ISAs",
    "needs CAP_SYS_NICE",
)

_unexpected_skips: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    reason = str(report.longrepr)
    if report.skipped and not any(allowed in reason for allowed in ALLOWED_SKIPS):
        _unexpected_skips.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unexpected_skips:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for skip in _unexpected_skips:
        terminalreporter.write_line(f"SKIPPED, BUT NOT FOR MISSING HARDWARE: {skip}", red=True)


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        for name in ("AIO_SYSFS_ROOT", "AIO_FORCE_ISA"):
            patch.delenv(name, raising=False)
        yield
