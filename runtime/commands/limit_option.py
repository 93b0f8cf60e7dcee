# SPDX-License-Identifier: Apache-2.0
"""`--limit NAME=VALUE`: a bound of the server, checked by the unit its name ends in.

Those of the queue have options of their own.
"""

import argparse
import math
import re
from dataclasses import Field, fields
from typing import Any

from aio.runtime.commands.queue_options import OPTION_OF_LIMIT, queue_options
from aio.runtime.errors import InputError
from aio.runtime.serve.limits import MIB, Limits

_FACTORS = {"": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}
# The least and the most of a bound, by the unit in its name; None is a plain count.
_RANGES: dict[str | None, tuple[float, float]] = {
    "bytes": (1024, 1 << 40),
    "s": (0.1, 86_400),
    "ms": (0.1, 86_400_000),
    None: (1, 1_000_000),
}


def limit(text: str) -> tuple[str, float]:
    """Return name and value of `NAME=VALUE`; a size may end in KiB, MiB or GiB.

    Raises:
        argparse.ArgumentTypeError: there is no such bound, or it can't have this value.
    """
    name, sign, value = text.partition("=")
    known = {field.name: field for field in fields(Limits) if field.name not in OPTION_OF_LIMIT}
    if not sign:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    if option := OPTION_OF_LIMIT.get(name):
        raise argparse.ArgumentTypeError(
            f"limit {name} has an option of its own, {option} ({option[2:]} in a file)"
        )
    if name not in known:
        raise argparse.ArgumentTypeError(
            f"there is no limit {name!r}; expected one of {', '.join(known)}"
        )
    return name, _value(known[name], value)


def make_limits(args: argparse.Namespace) -> Limits:
    """Return the bounds that options give, the others being the defaults.

    Raises:
        InputError: two of them contradict each other.
    """
    limits = Limits(**args.limit, **queue_options(args))
    if limits.body_bytes > limits.buffered_bytes:
        raise InputError(
            f"limit body_bytes is {limits.body_bytes}, more than buffered_bytes, "
            f"{limits.buffered_bytes}: such a body would never be taken; raise buffered_bytes"
        )
    if limits.merged_batch > limits.batch:
        raise InputError(
            f"--max-batch is {limits.merged_batch}, more than limit batch, {limits.batch}, which "
            "is the largest batch that clients are told of; lower --max-batch, or raise the limit "
            f"with --limit batch={limits.merged_batch}"
        )
    if limits.merge_wait_ms and limits.merged_batch == 1:
        raise InputError(
            f"--batch-delay-ms is {limits.merge_wait_ms:g}, but requests are merged only with "
            "--max-batch 2 or more; give that too, or leave the delay out"
        )
    return limits


def _value(field: "Field[Any]", text: str) -> float:
    unit = next((unit for unit in ("bytes", "ms", "s") if field.name.endswith(f"_{unit}")), None)
    least, most = _RANGES[unit]
    default = getattr(Limits(), field.name)
    whole = isinstance(default, int)
    least = min(math.ceil(least) if whole else least, default)  # 0 where it is off
    value = _size(text) if unit == "bytes" else _number(text)
    if value is None or (whole and value != int(value)) or not least <= value <= most:
        what = "a whole number" if whole else "a number"
        highest = f"{most / _FACTORS['GiB']:g}GiB" if unit == "bytes" else f"{most:.0f}"
        raise argparse.ArgumentTypeError(
            f"limit {field.name}: expected {what} from {least:g} to {highest}, found {text!r}"
        )
    return int(value) if whole else value


def _number(text: str) -> float | None:
    # Neither "1_000" nor "nan", which float() takes.
    return float(text) if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text) else None


def _size(text: str) -> float | None:
    found = re.fullmatch(r"(\d{1,15})([KMG]iB)?", text)
    return int(found[1]) * _FACTORS[found[2] or ""] if found else None
