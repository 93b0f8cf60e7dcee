# SPDX-License-Identifier: Apache-2.0
"""The head of an HTTP/1.x request, read as strictly as the standard allows.

llhttp, by httptools, reads it. What must hold for two readers of the same bytes to agree on where
a request ends is checked here once more: a parser may be built to forgive.
"""

import re
import urllib.parse
from typing import NamedTuple

import httptools

from aio.runtime.errors import AioError

END = b"\r\n\r\n"
MAX_DIGITS = 18  # more can't be the length of anything
REQUEST_LINE = re.compile(rb"[A-Z-]+ [\x21-\x22\x24-\x7e]+ HTTP/1\.[01]")  # a target has no "#"

Headers = list[tuple[bytes, bytes]]


class HeadError(AioError):
    """The bytes are no request this server takes; the connection ends with this status.

    Attributes:
        without_quote: The message without what it quotes, which may be a secret.
    """

    def __init__(self, status: int, message: str, quoted: bytes | None = None) -> None:
        super().__init__(message if quoted is None else f"{message}: {_shown(quoted)}")
        self.status = status
        self.without_quote = message


class Head(NamedTuple):
    """A request without its body; header names are in lower case.

    Attributes:
        path: Of the target, decoded.
        raw_path: As it was sent.
        body_bytes: The declared length of the body, None if it comes in chunks.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    headers: Headers
    body_bytes: int | None
    keep_alive: bool
    expects_continue: bool


def read_head(data: bytes, max_headers: int) -> Head:
    """Return the head that is all of `data`, the empty line included.

    Raises:
        HeadError: it is none.
    """
    line = data[: data.find(b"\r\n")]
    if REQUEST_LINE.fullmatch(line) is None:
        raise HeadError(400, "not an HTTP/1.1 request", line[:60])
    # Bare CR and LF, and continued lines.
    lines = data.count(b"\r\n")
    if data.count(b"\n") != lines or data.count(b"\r") != lines or b"\r\n " in data:
        raise HeadError(400, "lines of the request's head must end in CR LF, and not be continued")
    if lines - 2 > max_headers:
        raise HeadError(431, f"the request has {lines - 2} headers, the limit is {max_headers}")
    return _Reader().read(data)


class _Reader:
    """What llhttp calls while it reads one head."""

    def __init__(self) -> None:
        self._headers: Headers = []
        self._single: dict[bytes, bytes] = {}
        self._complete = False
        self._parser = httptools.HttpRequestParser(self)

    def read(self, data: bytes) -> Head:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # is not taken: the request is answered as it is
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            raise HeadError(400, f"the request's head is malformed: {error}") from None
        if not self._complete:
            raise HeadError(400, "the request's head is malformed")
        method, target = data[: data.find(b"\r\n")].split(b" ")[:2]
        version = self._parser.get_http_version()
        single = self._single
        if version == "1.1" and b"host" not in single:
            raise HeadError(400, "the request has no Host header")
        if not (target.startswith(b"/") or _is_url(target)):
            raise HeadError(400, "the request's target must be a path", target[:60])
        return Head(
            method.decode("ascii"),
            *_parts(target),
            version,
            self._headers,
            self._body_bytes(version),
            version == "1.1" and self._keeps_alive(),
            version == "1.1" and self._expects_continue(),
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        value = value.strip(b" \t")  # llhttp leaves the end
        self._headers.append((name, value))
        if name in _SINGLE:
            if name in self._single:
                raise HeadError(400, f"the request has two headers {name.decode('ascii')}")
            self._single[name] = value

    def on_headers_complete(self) -> None:
        self._complete = True

    def on_body(self, _: bytes) -> None:
        raise HeadError(400, "the request's head is malformed")

    def _body_bytes(self, version: str) -> int | None:
        coding = self._single.get(b"transfer-encoding")
        length = self._single.get(b"content-length")
        if coding is None:
            if length is None:
                return 0
            if not length.isdigit() or len(length) > MAX_DIGITS:
                raise HeadError(400, "Content-Length must be one decimal number")
            return int(length)
        if coding.lower() != b"chunked" or length is not None or version != "1.1":
            raise HeadError(
                400, "a body comes with Content-Length, or with Transfer-Encoding: chunked"
            )
        return None

    def _keeps_alive(self) -> bool:
        return not any(
            b"close" in value.lower() for name, value in self._headers if name == b"connection"
        )

    def _expects_continue(self) -> bool:
        value = self._single.get(b"expect")
        if value is not None and value.lower() != b"100-continue":
            raise HeadError(417, "can't meet Expect", value[:40])
        return value is not None


_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))


def _shown(data: bytes) -> str:
    return repr(data.decode("latin-1"))


def _is_url(target: bytes) -> bool:
    return target[:8].lower().startswith((b"http://", b"https://"))


def _parts(target: bytes) -> tuple[str, bytes, bytes]:
    """Return the path decoded and as sent, and the query."""
    if target.startswith(b"/"):
        raw, _, query = target.partition(b"?")
    else:
        raw, query = _path_of_url(target)
    path = raw.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, raw, query


def _path_of_url(target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a target as clients send it to a proxy."""
    rest = target.partition(b"://")[2]
    rest = rest[len(re.split(rb"[/?]", rest, maxsplit=1)[0]) :]
    raw, _, query = rest.partition(b"?")
    return raw or b"/", query
