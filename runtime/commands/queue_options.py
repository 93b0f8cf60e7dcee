# SPDX-License-Identifier: Apache-2.0
"""Options of the server's queue, and what they mean to its `Limits`."""

import argparse
import math
from typing import TypedDict

from aio.runtime.commands.numbers import real_number, whole_number


class QueueOptions(TypedDict):
    """Arguments of `Limits`."""

    queue: int
    queue_ms: float
    merged_batch: int
    merge_wait_ms: float


# Which option sets which of them.
OPTION_OF_LIMIT = {
    "queue": "--max-queue",
    "queue_ms": "--max-queue-ms",
    "merged_batch": "--max-batch",
    "merge_wait_ms": "--batch-delay-ms",
}


def add_queue_options(parser: argparse.ArgumentParser) -> None:
    """Declare what may wait, and what runs together."""
    add = parser.add_argument
    add(
        "--max-queue",
        type=_count,
        default=64,
        metavar="N",
        help="requests that may wait or run; one more is refused with 503 (%(default)s)",
    )
    add(
        "--max-queue-ms",
        type=_duration_ms,
        default=1000.0,
        metavar="MS",
        help="how long a request without a timeout may wait; 0 is no limit (%(default)g)",
    )
    add(
        "--max-batch",
        type=_count,
        default=1,
        metavar="N",
        help="let requests that wait run together, up to so many samples (1, which is never)",
    )
    add(
        "--batch-delay-ms",
        type=_duration_ms,
        default=0.0,
        metavar="MS",
        help="with --max-batch: how long a request waits for others (%(default)g)",
    )


def queue_options(args: argparse.Namespace) -> QueueOptions:
    """Return the options as arguments of `Limits`."""
    return {
        "queue": args.max_queue,
        "queue_ms": args.max_queue_ms or math.inf,
        "merged_batch": args.max_batch,
        "merge_wait_ms": args.batch_delay_ms,
    }


def _count(text: str) -> int:
    value = whole_number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: expected at least 1")
    return value


def _duration_ms(text: str) -> float:
    value = real_number(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{value}: expected milliseconds, at least 0")
    return value
