# SPDX-License-Identifier: Apache-2.0
"""Every bound can be set by its name, within reason."""

import argparse
from dataclasses import fields

import pytest

from aio.runtime.commands.limit_option import limit, make_limits
from aio.runtime.commands.queue_options import OPTION_OF_LIMIT, add_queue_options
from aio.runtime.errors import InputError
from aio.runtime.serve.limits import MIB, Limits

OWN = [field for field in fields(Limits) if field.name not in OPTION_OF_LIMIT]


def arguments(*options: str, **limits: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_queue_options(parser)
    return argparse.Namespace(limit=limits, **vars(parser.parse_args(options)))


@pytest.mark.parametrize("field", OWN, ids=lambda field: str(field.name))
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
        ("connections", "expected NAME=VALUE"),
        ("quue=1", "there is no limit 'quue'; expected one of body_bytes"),
        ("__class__=1", "there is no limit"),
        ("queue=32", r"limit queue has an option of its own, --max-queue \(max-queue in a file\)"),
        ("queue_ms=32", "option of its own, --max-queue-ms "),
        ("merged_batch=32", "option of its own, --max-batch "),
        ("merge_wait_ms=32", "option of its own, --batch-delay-ms "),
        ("connections=0", "connections: expected a whole number from 1 to 1000000, found '0'"),
        ("connections=-1", "connections: expected a whole number from 1 to 1000000, found '-1'"),
        ("connections=1.5", "connections: expected a whole number from 1"),
        ("connections=9999999", "connections: expected a whole number from 1 to"),
        ("connections=", "to 1000000, found ''"),
        ("head_s=nan", "head_s: expected a number from 0.1 to 86400, found 'nan'"),
        ("head_s=inf", "head_s: expected a number from"),
        ("head_s=1e9", "head_s: expected a number from"),
        ("head_s=0", "head_s: expected a number from 0.1 to"),
        ("stop_s=0.5", "stop_s: expected a whole number from 1 to 86400, found '0.5'"),
        ("body_bytes=-1", "expected a whole number from 1024 to 1024GiB, found '-1'"),
        ("body_bytes=10", "body_bytes: expected a whole number from 1024"),
        ("body_bytes=1MB", "body_bytes: expected a whole number from"),
        ("body_bytes=1_000_000", "body_bytes: expected a whole number from"),
        ("body_bytes=9999999GiB", "body_bytes: expected a whole number from"),
        ("connections=" + "9" * 5000, "connections: expected a whole number from"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        limit(text)


def test_limits_that_contradict_each_other() -> None:
    assert make_limits(arguments()) == Limits()
    assert make_limits(arguments(connections=3)).connections == 3
    with pytest.raises(InputError, match="raise buffered_bytes"):
        make_limits(arguments(body_bytes=512 * MIB))


def test_merged_batches_are_within_the_limit_of_a_batch() -> None:
    assert make_limits(arguments("--max-batch", "8", batch=8)).merged_batch == 8
    with pytest.raises(InputError) as caught:
        make_limits(arguments("--max-batch", "16", batch=8))
    assert "--max-batch is 16, more than limit batch, 8," in str(caught.value)
    assert "--limit batch=16" in str(caught.value)


def test_a_delay_without_merging_would_do_nothing() -> None:
    assert make_limits(arguments("--max-batch", "2", "--batch-delay-ms", "5")).merge_wait_ms == 5
    with pytest.raises(InputError, match=r"--batch-delay-ms is 5, but .* --max-batch 2 or more"):
        make_limits(arguments("--batch-delay-ms", "5"))
