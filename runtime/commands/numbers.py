# SPDX-License-Identifier: Apache-2.0
"""Numbers as options; what is none is told as such, whatever the option makes of it."""

import argparse


def whole_number(text: str) -> int:
    """Return the number, or raise ArgumentTypeError."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None


def real_number(text: str) -> float:
    """Return the number, infinity and NaN included, or raise ArgumentTypeError."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None
