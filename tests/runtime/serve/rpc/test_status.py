# SPDX-License-Identifier: Apache-2.0
import logging
from urllib.parse import unquote

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.errors import AioError, InputError
from aio.runtime.serve.errors import (
    NO_MEMORY,
    TABLE,
    RequestError,
    UnavailableError,
    UnknownModelError,
)
from aio.runtime.serve.rpc.status import CODES, INTERNAL, Code, Status, status_of


def test_every_error_has_a_status() -> None:
    assert {row.status for row in TABLE} <= set(CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownModelError("m"), Code.NOT_FOUND),
        (RequestError("m"), Code.INVALID_ARGUMENT),
        (InputError("m"), Code.INVALID_ARGUMENT),
        (UnavailableError("m"), Code.UNAVAILABLE),
        (AioError("m"), Code.INTERNAL),
    ],
)
def test_the_message_is_told(error: AioError, code: object) -> None:
    status = status_of(error)
    assert (status.code, status.details) == (code, "m")
    assert bool(status.more) == (code is Code.UNAVAILABLE)


def test_a_defect_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status = status_of(ZeroDivisionError("a secret"))
    assert (status.code, status.details) == (Code.INTERNAL, INTERNAL)
    assert "a secret" in caplog.text


def test_a_want_of_memory_may_pass(caplog: pytest.LogCaptureFixture) -> None:
    status = status_of(MemoryError("Unable to allocate an array with shape (9,)"))
    assert (status.code, status.details) == (Code.UNAVAILABLE, NO_MEMORY)
    assert dict(status.more)["retry-after-ms"] == "1000"
    assert not caplog.records


@pytest.mark.parametrize(("after_s", "expected"), [(0.25, "250"), (None, "1000"), (1e-6, "1")])
def test_a_client_is_told_when_to_try_again(after_s: float | None, expected: str) -> None:
    error = UnavailableError("busy")
    error.retry_after_s = after_s  # type: ignore[attr-defined, unused-ignore]
    assert dict(status_of(error).more) == {
        "grpc-retry-pushback-ms": expected,
        "retry-after-ms": expected,
    }


def test_the_codes_are_those_of_grpc() -> None:
    assert {code.name: code.value for code in Code} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }


@given(st.text())
def test_details_are_told_in_plain_ascii(details: str) -> None:
    trailers = dict(Status(Code.NOT_FOUND, details).trailers())
    assert trailers["grpc-status"] == "5"
    told = trailers.get("grpc-message", "")
    assert all(" " <= character <= "~" for character in told)
    assert unquote(told, errors="surrogatepass") == details[:2000]
