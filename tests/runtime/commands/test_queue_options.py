# SPDX-License-Identifier: Apache-2.0
"""Options of the queue."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import pytest

from aio.runtime.commands.queue_options import OPTION_OF_LIMIT, add_queue_options, queue_options
from aio.runtime.serve.limits import Limits


def parsed(*arguments: str) -> Limits:
    parser = argparse.ArgumentParser()
    add_queue_options(parser)
    return Limits(**queue_options(parser.parse_args(arguments)))


def test_the_defaults_are_those_of_the_limits() -> None:
    assert parsed() == Limits()


def test_given_values() -> None:
    limits = parsed(
        *("--max-queue", "3", "--max-queue-ms", "0", "--max-batch", "8", "--batch-delay-ms", "1.5")
    )
    assert (limits.queue, limits.queue_ms) == (3, math.inf)
    assert (limits.merged_batch, limits.merge_wait_ms) == (8, 1.5)


@pytest.mark.parametrize(("limit", "option"), OPTION_OF_LIMIT.items())
def test_the_option_of_a_limit_sets_it(limit: str, option: str) -> None:
    assert parsed(option, "7") == replace(Limits(), **{limit: 7})


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--max-queue", "0", "expected at least 1"),
        ("--max-queue", "x", "expected a whole number, found 'x'"),
        ("--max-batch", "0", "expected at least 1"),
        ("--max-queue-ms", "-1", "expected milliseconds, at least 0"),
        ("--max-queue-ms", "nan", "expected milliseconds, at least 0"),
        ("--max-queue-ms", "soon", "expected a number, found 'soon'"),
        ("--batch-delay-ms", "inf", "expected milliseconds, at least 0"),
    ],
)
def test_wrong_values(
    option: str, value: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(option, value)
    error = capsys.readouterr().err
    assert option in error
    assert told in error
