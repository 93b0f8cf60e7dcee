# SPDX-License-Identifier: Apache-2.0
"""Tables and JSON, as every command prints them."""

import json
import math
import unicodedata
from collections.abc import Sequence

MISSING = "-"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return aligned columns: the first `left` ones to the left, numbers to the right."""
    lines = [header, *rows]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            _pad(cell, width, left=i < left)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the same as a Markdown table."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def json_text(value: object) -> str:
    """Return a JSON document; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def number(value: float | None, spec: str) -> str:
    """Return a formatted number, a dash if it is not known."""
    return MISSING if value is None else format(value, spec)


def milliseconds(value: float | None) -> str:
    """Return a latency with three significant digits or whole microseconds."""
    if value is None:
        return MISSING
    digits = min(4, max(1, 2 - math.floor(math.log10(value)))) if value > 0 else 1
    return f"{value:.{digits}f}"


def megahertz(khz: float | None) -> str:
    """Return a clock in MHz."""
    return MISSING if khz is None else f"{khz / 1000:.0f} MHz"


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _pad(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text
