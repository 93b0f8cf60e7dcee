# SPDX-License-Identifier: Apache-2.0
"""Every bound can be set by its name, within reason."""

import argparse
from dataclasses import fields

import pytest

from aio.runtime.commands.limit_option import limit, make_limits
from aio.runtime.errors import InputError
from aio.runtime.serve.limits import MIB, Limits


@pytest.mark.parametrize("field", fields(Limits), ids=lambda field: str(field.name))
def test_every_default_may_be_given(field: "object") -> None:
    name = getattr(field, "name")  # noqa: B009 -- Field has no useful type here
    default = getattr(Limits(), name)
    assert limit(f"{name}={default:g}" if isinstance(default, float) else f"{name}={default}") == (
        name,
        default,
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("body_bytes=2048", 2048),
        ("body_bytes=1MiB", MIB),
        ("json_bytes=64KiB", 65536),
        ("buffered_bytes=1GiB", 1024 * MIB),
        ("head_s=0.5", 0.5),
        ("stop_s=30", 30),
    ],
)
def test_values(text: str, value: float) -> None:
    found = limit(text)[1]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queue", "expected NAME=VALUE"),
        ("quue=1", "there is no limit 'quue'; expected one of body_bytes"),
        ("__class__=1", "there is no limit"),
        ("queue=0", "queue: expected 1 to 1e"),
        ("queue=-1", "queue: expected a whole number"),
        ("queue=1.5", "queue: expected a whole number"),
        ("queue=9999999", "queue: expected 1 to"),
        ("queue=", "expected a whole number, found ''"),
        ("head_s=nan", "head_s: expected a number"),
        ("head_s=inf", "head_s: expected a number"),
        ("head_s=1e9", "head_s: expected a number"),
        ("head_s=0", "head_s: expected 0.1 to"),
        ("stop_s=0.5", "stop_s: expected a whole number"),
        ("body_bytes=10", "body_bytes: expected 1024"),
        ("body_bytes=1MB", "body_bytes: expected a whole number"),
        ("body_bytes=1_000_000", "body_bytes: expected a whole number"),
        ("body_bytes=9999999GiB", "body_bytes: expected 1024"),
        ("queue=" + "9" * 5000, "queue: expected a whole number"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        limit(text)


def test_limits_that_contradict_each_other() -> None:
    assert make_limits({}) == Limits()
    assert make_limits({"queue": 3}).queue == 3
    with pytest.raises(InputError, match="raise buffered_bytes"):
        make_limits({"body_bytes": 512 * MIB})
