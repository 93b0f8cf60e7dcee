# SPDX-License-Identifier: Apache-2.0
"""Where the files are that ship inside the package."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"

SHIPPED_MODEL = _FOLDER / "digits.aio"
EXAMPLE_REQUEST = _FOLDER / "example_digit.json"
