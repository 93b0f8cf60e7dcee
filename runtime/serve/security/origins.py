# SPDX-License-Identifier: Apache-2.0
"""Which web pages may talk to the server, and the CORS headers for those of other sites.

A browser says in Origin which page asks. The server's own page has the origin that stands in
Host; any other must have been allowed by name, or its scripts could use the server behind the
reader's back. Programs that are not browsers send no Origin and are not concerned.
"""

import re
from collections.abc import Iterable

from starlette.types import Message, Send

from aio.runtime.errors import InputError

Header = tuple[bytes, bytes]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:\d{1,5})?|[a-z]+://\[[0-9a-f:]+\](:\d+)?")
# What a browser is told an allowed page may send, when it asks before it does.
PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, inference-header-content-length, traceparent",
    ),
    (b"access-control-max-age", b"600"),
)
# What lets it read the answer, with the origin.
_CORS: tuple[Header, ...] = (
    (b"access-control-expose-headers", b"inference-header-content-length, retry-after"),
    (b"vary", b"origin"),
)
# Other sites that a browser names in Sec-Fetch-Site; the rest is the page itself or the user.
_FOREIGN = frozenset({b"cross-site", b"same-site"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Origins:
    """The origins of other sites whose pages may use the server.

    Args:
        allowed: such as "https://app.example.com".
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(_checked(origin).encode() for origin in allowed)

    def allows(self, origin: bytes) -> bool:
        """Return whether this origin was allowed by name."""
        return origin.lower() in self._allowed

    def accepts(self, method: str, origin: bytes | None, host: bytes, fetch_site: bytes) -> bool:
        """Return whether a page may make this request.

        Args:
            method: of HTTP.
            origin: value of Origin, None without.
            host: value of Host.
            fetch_site: value of Sec-Fetch-Site, empty without.
        """
        if origin is None:
            # Following a link sends no Origin and changes nothing.
            return method in _SAFE_METHODS or fetch_site not in _FOREIGN
        # A proxy in front may speak TLS, so the scheme is not compared.
        own = origin.partition(b"://")[2]
        return (bool(own) and own.lower() == host.lower()) or self.allows(origin)


def with_cors(send: Send, origin: bytes) -> Send:
    """Return a `send` that lets an allowed page read the answer."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            cors = [(b"access-control-allow-origin", origin), *_CORS]
            message = {**message, "headers": [*message.get("headers", ()), *cors]}
        await send(message)

    return send_with_headers


def _checked(origin: str) -> str:
    lower = origin.lower()
    if not _ORIGIN.fullmatch(lower):
        raise InputError(
            f"{origin!r} is no origin of web pages; expected one like https://app.example.com, "
            "without a path (neither * nor null: that would be every site)"
        )
    return lower
