# SPDX-License-Identifier: Apache-2.0
"""What a token file holds, for the server that accepts its tokens and a client that sends one.

The file holds one token a line, so that a new token can be added before the old one is removed;
empty lines and lines that begin with # are skipped.
"""

import re
from pathlib import Path

from aio.runtime.errors import InputError

MIN_CHARACTERS = 16
MAX_CHARACTERS = 512
MAX_TOKENS = 16
MAX_FILE_BYTES = 16 * 1024
# What RFC 6750 lets a header carry.
_TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")
_MAKE_ONE = "`openssl rand -hex 32` makes a good one"


def first_token(path: Path) -> str:
    """Return the token that a client sends.

    Who else may read the file is not checked: it may be a pipe, or be lent by somebody.

    Raises:
        InputError: the file can't be read, or is none that the server would take.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"can't read the token file {path}: {error.strerror}") from None
    return tokens_in(path, content)[0].decode("ascii")


def tokens_in(path: Path, content: bytes) -> list[bytes]:
    """Return the tokens in the content of a file, read up to one byte more than it may have.

    Raises:
        InputError: it holds no token or a weak one, or too much; the message says what to do.
    """
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"the token file {path} has more than {MAX_FILE_BYTES} bytes")
    tokens = []
    for number, line in enumerate(content.splitlines(), 1):
        token = line.strip()
        if not token or token.startswith(b"#"):
            continue
        # The messages never show what stands there: it is a secret, if a bad one.
        if not _TOKEN.fullmatch(token):
            raise InputError(
                f"line {number} of the token file {path} holds a character that no header can "
                f"carry; use letters, digits and -._~+/ ({_MAKE_ONE})"
            )
        if not MIN_CHARACTERS <= len(token) <= MAX_CHARACTERS:
            raise InputError(
                f"the token in line {number} of {path} has {len(token)} characters; "
                f"expected {MIN_CHARACTERS} to {MAX_CHARACTERS} ({_MAKE_ONE})"
            )
        tokens.append(token)
    if not tokens:
        raise InputError(f"the token file {path} holds no token; {_MAKE_ONE}")
    if len(tokens) > MAX_TOKENS:
        raise InputError(f"{path} holds {len(tokens)} tokens; expected at most {MAX_TOKENS}")
    return tokens
