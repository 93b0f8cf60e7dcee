# SPDX-License-Identifier: Apache-2.0
"""JSON as RFC 8259 has it, for documents nobody vouches for.

Python's parser accepts NaN, keeps the last of duplicate keys, lets numbers be of any length and its
memory grow to some sixty times the text. All four are refused here before they can do harm.
"""

import json
import math
from typing import NoReturn

from aio.runtime.model_file.defect import Defect, show

# A JSON value costs about 64 bytes, so this bounds memory to some 30 MB. A network of 1,000 nodes
# with 20,000 labels has about 60,000 values.
MAX_VALUES = 500_000
# Enough for every 64-bit integer and every float that Python writes.
MAX_NUMBER_CHARS = 32


def parse(raw: bytes | str, what: str) -> object:
    """Return the parsed document; `what` names it in messages.

    Raises:
        Defect: it is not UTF-8, not JSON, nested too deeply, or beyond the limits above.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as error:
        raise Defect(f"{what} is not UTF-8: byte {error.start} is {raw[error.start]!r}") from None
    values = text.count(",") + text.count("[") + text.count("{")
    if values > MAX_VALUES:
        raise Defect(f"{what} holds about {values} JSON values, the limit is {MAX_VALUES}")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise Defect(f"{what} is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise Defect(f"{what} is nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Defect(f"key {show(key)} appears twice in one object")
            seen.add(key)
    return result


def _integer(literal: str) -> int:
    _check_length(literal)
    return int(literal)


def _real(literal: str) -> float:
    _check_length(literal)
    value = float(literal)
    if not math.isfinite(value):
        raise Defect(f"number {literal} does not fit in 64-bit floating point")
    return value


def _check_length(literal: str) -> None:
    if len(literal) > MAX_NUMBER_CHARS:
        raise Defect(
            f"a number has {len(literal)} characters, the limit is {MAX_NUMBER_CHARS}: "
            f"{literal[:16]}..."
        )


def _constant(literal: str) -> NoReturn:
    raise Defect(f"{literal} is not a JSON number")
