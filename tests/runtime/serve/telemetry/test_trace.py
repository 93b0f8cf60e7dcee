# SPDX-License-Identifier: Apache-2.0
"""Trace context: valid ones are continued, all others ignored."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.serve.telemetry.trace import (
    TraceContext,
    Traced,
    current_request_id,
    current_trace,
    current_trace_id,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_valid_parent_is_continued_with_a_span_of_our_own() -> None:
    found = TraceContext.parse(PARENT, "a=1,b=2")
    assert found is not None
    assert (found.trace_id, found.parent_id, found.flags) == (TRACE, SPAN, 1)
    assert found.state == "a=1,b=2"
    assert found.span_id != SPAN
    assert found.traceparent == f"00-{TRACE}-{found.span_id}-01"
    again = TraceContext.parse(found.traceparent)
    assert again is not None
    assert again.parent_id == found.span_id


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "00",
        PARENT[:-1],
        PARENT + "0",
        PARENT.upper(),
        PARENT.replace("-", "_"),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"0g-{TRACE}-{SPAN}-01",
        f"{PARENT}\n",
        "\u0664" * 55,
    ],
)
def test_an_invalid_parent_is_ignored(parent: str | None) -> None:
    assert TraceContext.parse(parent, "a=1") is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = TraceContext.parse(f"01-{TRACE}-{SPAN}-ff-more")
    assert found is not None
    assert (found.flags, found.traceparent[:2]) == (1, "00")


@pytest.mark.parametrize("state", ["a" * 513, "a=\n", "a=\u00e9"])
def test_a_state_that_is_no_state_is_dropped_alone(state: str) -> None:
    found = TraceContext.parse(PARENT, state)
    assert found is not None
    assert found.state == ""


@given(st.text(max_size=80))
def test_any_text_is_a_parent_or_not(text: str) -> None:
    found = TraceContext.parse(text)
    assert found is None or len(found.trace_id) == 32


def ask(*headers: tuple[str, str]) -> tuple[dict[str, str], Any]:
    """Return the headers of the answer, and what the application knew."""
    known: list[Any] = []
    sent: list[dict[str, Any]] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        known.append((current_trace_id(), current_request_id(), current_trace()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    asyncio.run(Traced(app)({"type": "http", "headers": raw}, receive, send))
    start = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert start.pop("a") == "b"
    return start, known[0]


def test_a_request_without_any_of_it() -> None:
    assert ask(("host", "x")) == ({}, (None, None, None))
    assert current_trace_id() is None


def test_the_application_knows_and_the_answer_tells() -> None:
    answer, (trace_id, request_id, trace) = ask(
        ("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2"), ("x-request-id", "7")
    )
    assert (trace_id, request_id) == (TRACE, "7")
    assert answer == {
        "traceparent": trace.traceparent,
        "tracestate": "a=1,b=2",
        "x-request-id": "7",
    }


def test_two_parents_are_none() -> None:
    answer, (trace_id, _, _) = ask(("traceparent", PARENT), ("traceparent", PARENT))
    assert (answer, trace_id) == ({}, None)


@pytest.mark.parametrize("value", ["", "a b", "a\r\nset-cookie: x", "x" * 129, "\u00e9"])
def test_a_request_id_that_could_do_harm_is_ignored(value: str) -> None:
    answer, (_, request_id, _) = ask(("x-request-id", value))
    assert (answer, request_id) == ({}, None)
