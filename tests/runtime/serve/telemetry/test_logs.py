# SPDX-License-Identifier: Apache-2.0
"""Records as text and as JSON, with whatever a client can put into them."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.serve.telemetry.logs import (
    FORMATS,
    JsonFormatter,
    TextFormatter,
    configure_logs,
    rfc3339,
)

HOSTILE = 'x\naio-serve: ERROR: forged\r\n\x1b[31mred\x00\x9b\u2028"}{\ud800'


def make_record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    record = logging.LogRecord("aio.test", logging.WARNING, "f", 1, message, arguments, None)
    record.created = 1_700_000_000.5
    for name, value in more.items():
        setattr(record, name, value)
    return record


def raised(message: str) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError:
        return make_record("broken", exc_info=sys.exc_info())


def test_text() -> None:
    assert TextFormatter().format(make_record("a %s", "b")) == "aio-serve: WARNING: a b"


def test_json() -> None:
    record = make_record("a %s", "b", fields={"status": 200, "duration_ms": 1.5, "client": None})
    assert json.loads(JsonFormatter().format(record)) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "warning",
        "logger": "aio.test",
        "message": "a b",
        "status": 200,
        "duration_ms": 1.5,
        "client": None,
    }


def test_time() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_700_000_000.9996) == "2023-11-14T22:13:20.999Z"


def test_text_can_not_be_forged() -> None:
    text = TextFormatter().format(make_record("path %s", HOSTILE))
    assert text.splitlines() == [text]
    assert "\x1b" not in text
    assert r"x\x0aaio-serve: ERROR: forged" in text


def test_a_traceback_stands_in_marked_lines() -> None:
    first, *rest = TextFormatter().format(raised(HOSTILE)).splitlines()
    assert first == "aio-serve: WARNING: broken"
    assert rest
    assert all(line.startswith("    | ") for line in rest)


def test_a_traceback_is_one_field() -> None:
    line = JsonFormatter().format(raised(HOSTILE))
    assert line.isascii()
    assert "\n" not in line
    assert "forged" in json.loads(line)["traceback"]


@given(text=st.text())
def test_any_text_is_one_line_of_json(text: str) -> None:
    line = JsonFormatter().format(make_record("%s", text, fields={"path": text, "odd": object()}))
    assert line.splitlines() == [line]
    entry = json.loads(line)
    assert (entry["message"], entry["path"]) == (text, text)


@given(text=st.text())
def test_any_text_is_one_line_of_text(text: str) -> None:
    line = TextFormatter().format(make_record("%s!", text))
    assert line.splitlines() == [line]


@pytest.fixture
def root_as_it_was() -> Iterator[None]:
    root, quiet = logging.getLogger(), logging.getLogger("uvicorn")
    before = root.handlers[:], root.level, quiet.level
    yield
    root.handlers[:], level, quiet_level = before
    root.setLevel(level)
    quiet.setLevel(quiet_level)


@pytest.mark.usefixtures("root_as_it_was")
@pytest.mark.parametrize("form", FORMATS)
def test_every_logger_writes_the_same_way(form: str) -> None:
    stream = io.StringIO()
    configure_logs("info", form, stream)
    logging.getLogger("uvicorn.error").info("from uvicorn")
    logging.getLogger("aio.runtime").info("ours")
    logging.getLogger("aio.runtime").debug("too fine")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    if form == "json":
        assert [json.loads(line)["message"] for line in lines] == ["from uvicorn", "ours"]
    else:
        assert lines == ["aio-serve: INFO: from uvicorn", "aio-serve: INFO: ours"]


@pytest.mark.usefixtures("root_as_it_was")
def test_by_default_uvicorn_does_not_tell_of_every_bad_client() -> None:
    stream = io.StringIO()
    configure_logs("warning", "text", stream)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("broken")
    logging.getLogger("aio").warning("ours")
    assert stream.getvalue().splitlines() == [
        "aio-serve: ERROR: broken",
        "aio-serve: WARNING: ours",
    ]
