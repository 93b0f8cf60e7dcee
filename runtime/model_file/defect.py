# SPDX-License-Identifier: Apache-2.0
"""The one exception that checks of a model file raise inside this package.

`reader.read_model_file` adds the file's name and turns it into `ModelFileError`, so no check has to
carry the path around.
"""

import reprlib

MAX_SHOWN_CHARS = 120


class Defect(Exception):
    """Something is wrong with the file; the message says what and where."""


def show(value: object) -> str:
    """Return a short quotation of a value that came from the file."""
    text = reprlib.repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "..."
