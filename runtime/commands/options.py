# SPDX-License-Identifier: Apache-2.0
"""Options of every command that lets the governor choose, and what they mean to `Runtime.load`."""

import argparse
from typing import TypedDict


class GovernorOptions(TypedDict):
    """Arguments of `Runtime.load`."""

    target_ms: float | None
    battery_target_ms: float | None
    policy: str
    replan: bool


def add_governor_options(parser: argparse.ArgumentParser) -> None:
    """Declare what to hold and how."""
    add = parser.add_argument
    add(
        "--target-ms",
        type=float,
        metavar="MS",
        help="latency of one sample to hold (that of the densest level at full clock)",
    )
    add(
        "--battery-target-ms",
        type=float,
        metavar="MS",
        help="latency to hold while the device runs on battery (the same)",
    )
    add(
        "--policy",
        default="adaptive",
        metavar="NAME",
        help="adaptive: hold the target by clocks and measured latencies, mixing levels across "
        "layers; table: follow the clock alone, by whole levels; fixed: always the densest level "
        "that is accurate enough (%(default)s)",
    )
    add(
        "--no-replan",
        action="store_true",
        help="never change the levels of layers while an inference runs",
    )


def governor_options(args: argparse.Namespace) -> GovernorOptions:
    """Return the options as arguments of `Runtime.load`."""
    return {
        "target_ms": args.target_ms,
        "battery_target_ms": args.battery_target_ms,
        "policy": args.policy,
        "replan": not args.no_replan,
    }
