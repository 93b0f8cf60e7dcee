# SPDX-License-Identifier: Apache-2.0
"""The check every HTTP request passes before anything else looks at it.

A few comparisons of headers, no parsing of bodies, no waiting: a refused request costs next to
nothing, an accepted one some microseconds.
"""

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from aio.runtime.serve.protocol import codec_json
from aio.runtime.serve.security.names import HostNames
from aio.runtime.serve.security.origins import PREFLIGHT, Header, Origins, with_cors
from aio.runtime.serve.security.token import Token

# They say no more than that the process runs; whoever starts or balances servers needs them.
PROBES = frozenset({"/v2/health/live", "/v2/health/ready"})
METRICS = "/metrics"
# The page itself holds nothing secret, and asks for the token that its requests then present.
PAGE, PAGE_FILES = "/", "/page/"
OPEN = PROBES | {PAGE}
# In the scope of a request that had to present a token: tells whether it is still a good one, for
# answers that last longer than a token may.
STILL_ALLOWED = "aio.still_allowed"
BEARER = b'Bearer realm="aio-serve"'
_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Policy:
    """Who may ask.

    Attributes:
        token: what a request must present, None if nothing.
        hosts: the names it may use for the server, None for any. Not looked at on a Unix socket.
        origins: pages of other sites that may use the server.
        public_metrics: let the metrics be read without a token.
    """

    token: Token | None = None
    hosts: HostNames | None = None
    origins: Origins = field(default_factory=Origins)
    public_metrics: bool = False

    def needs_token(self, method: str, path: str) -> bool:
        """Return whether a request must present the token."""
        if self.token is None:
            return False
        public = (
            path in OPEN or (self.public_metrics and path == METRICS) or path.startswith(PAGE_FILES)
        )
        return not (public and method in _READING)


class Refusal(NamedTuple):
    """An answer instead of what was asked for."""

    status: int
    message: str
    headers: tuple[Header, ...] = ()


class Guard:
    """ASGI application around another, that lets pass what the policy allows."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer, or let the application do it; a plain function, as it is on every path."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        sent = Presented.of(scope["headers"])
        # ASGI has (path, None) for a Unix socket; uvicorn's own connections have None.
        server = scope.get("server")
        local = server is None or server[1] is None
        refusal = self.refusal(scope["method"], scope["path"], sent, local=local)
        origin = sent.origin
        if origin is not None and self._policy.origins.allows(origin):
            send = with_cors(send, origin)
        if refusal is not None:
            return _answer(send, refusal)
        if self._policy.token is not None and sent.authorization:
            scope[STILL_ALLOWED] = partial(authorized, self._policy.token, sent.authorization)
        return self._app(scope, receive, send)

    def refusal(self, method: str, path: str, sent: "Presented", *, local: bool) -> Refusal | None:
        """Return why the request is refused, None if it is not.

        Args:
            method: of HTTP.
            path: without query.
            sent: what its headers say.
            local: it came over a Unix socket, whose permissions decide who may connect.
        """
        if path in PROBES and method in _READING:
            return None
        if sent.repeated is not None:
            return Refusal(400, f"there is more than one {sent.repeated} header")
        return (
            (None if local else self._check_name(sent))
            or self._check_page(method, sent)
            or self._check_token(method, path, sent)
        )

    def _check_name(self, sent: "Presented") -> Refusal | None:
        hosts = self._policy.hosts
        if hosts is None or hosts.accepts(sent.host):
            return None
        return _misdirected(sent.host)

    def _check_page(self, method: str, sent: "Presented") -> Refusal | None:
        origins, origin = self._policy.origins, sent.origin
        if not origins.accepts(method, origin, sent.host, sent.fetch_site):
            return _foreign(origin)
        if method == "OPTIONS" and origin is not None and origins.allows(origin):
            return Refusal(204, "", PREFLIGHT)
        return None

    def _check_token(self, method: str, path: str, sent: "Presented") -> Refusal | None:
        token = self._policy.token
        if token is None or not self._policy.needs_token(method, path):
            return None
        if sent.authorization and authorized(token, sent.authorization):
            return None
        return _unauthorized(sent)


class Presented:
    """What the headers of a request say about who asks; empty bytes where one is missing."""

    __slots__ = ("authorization", "fetch_site", "host", "origin", "repeated")

    def __init__(self) -> None:
        self.host = self.authorization = self.fetch_site = b""
        self.origin: bytes | None = None
        self.repeated: str | None = None

    @classmethod
    def of(cls, headers: Iterable[Header]) -> "Presented":
        """Read headers with names in lower case, as ASGI has them."""
        found = cls()
        for name, value in headers:
            if name == b"host":
                if found.host:
                    found.repeated = "Host"
                found.host = value
            elif name == b"authorization":
                if found.authorization:
                    found.repeated = "Authorization"
                found.authorization = value
            elif name == b"origin":
                if found.origin is not None:
                    found.repeated = "Origin"
                found.origin = value
            elif name == b"sec-fetch-site":
                found.fetch_site = value
        return found


def authorized(token: Token, value: bytes) -> bool:
    """Return whether the value of an Authorization header presents the token."""
    scheme, _, presented = value.partition(b" ")
    return scheme.lower() == b"bearer" and token.matches(presented.strip(b" "))


def _misdirected(host: bytes) -> Refusal:
    if not host:
        return Refusal(400, "there is no Host header")
    return Refusal(
        421,
        f"this server does not know itself as {host.decode('latin-1')[:100]!r}; ask for it by IP "
        "address or localhost, or start it with --allowed-host NAME",
    )


def _foreign(origin: bytes | None) -> Refusal:
    who = "another site" if origin is None else repr(origin.decode("latin-1")[:100])
    return Refusal(
        403, f"pages of {who} may not use this server; it takes --allowed-origin to let them"
    )


def _unauthorized(sent: Presented) -> Refusal:
    error = b', error="invalid_token"' if sent.authorization else b""
    what = "is not one of this server's" if sent.authorization else "is missing"
    return Refusal(
        401,
        f"the token {what}; send it as 'Authorization: Bearer TOKEN'",
        ((b"www-authenticate", BEARER + error),),
    )


async def _answer(send: Send, refusal: Refusal) -> None:
    body = codec_json.dumps({"error": refusal.message}) if refusal.message else b""
    headers = [*refusal.headers]
    if body:
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
