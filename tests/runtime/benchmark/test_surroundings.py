# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest

from aio.runtime.benchmark.surroundings import environment, pinned


def fail_when_pinned_to(cpu: int) -> None:
    with pinned({cpu}):
        assert os.sched_getaffinity(0) == {cpu}
        raise ZeroDivisionError


def test_pinned_until_the_end() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError):
        fail_when_pinned_to(min(before))
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("old", [None, "old"])
def test_a_variable_is_put_back(old: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIO_TEST_VARIABLE", raising=False)
    if old is not None:
        monkeypatch.setenv("AIO_TEST_VARIABLE", old)
    with environment("AIO_TEST_VARIABLE", "new"):
        assert os.environ["AIO_TEST_VARIABLE"] == "new"
    assert os.environ.get("AIO_TEST_VARIABLE") == old
