# SPDX-License-Identifier: Apache-2.0
"""The paths of the live page. They translate HTTP; deciding is done in other modules."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.page.assets import Assets
from aio.runtime.serve.page.control import Controls
from aio.runtime.serve.page.feed import Feed, dumps
from aio.runtime.serve.page.snapshot import Snapshots
from aio.runtime.serve.rest.small_body import read_object
from aio.runtime.serve.security.guard import STILL_ALLOWED

JSON = "application/json"
NOT_KEPT = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def page_routes(host: Host, limits: Limits) -> list[Route]:
    """Return the paths of the page, its data and its controls."""
    page, assets = _Page(host, limits), Assets()
    return [
        Route("/", assets.index),
        Route("/page/{path:path}", assets.file),
        Route("/events", page.events),
        Route("/state", page.state),
        Route("/control", page.control, methods=["POST"]),
    ]


class _Page:
    def __init__(self, host: Host, limits: Limits) -> None:
        self._snapshots = Snapshots(host, limits)
        self._controls = Controls(host)
        self._most_bytes = limits.small_body_bytes
        self._feed = Feed(host, self._snapshots, limits.listeners)

    async def state(self, _: Request) -> Response:
        """Return the state as one JSON document."""
        return _json(self._snapshots.whole())

    async def events(self, request: Request) -> Response:
        """Return the state and its changes as server-sent events."""
        if request.method == "HEAD":
            return Response(headers={**NOT_KEPT, "content-type": _EventStream.media_type})
        return _EventStream(self._feed)

    async def control(self, request: Request) -> Response:
        """Change settings and return those in force."""
        # A form of another site can send text, but not this type without being asked first.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise RequestError(f"content-type is {kind[:80]!r}, expected {JSON}")
        return _json(self._controls.apply(await read_object(request, self._most_bytes)))


class _EventStream(Response):
    """A response that lasts until the client goes, its token is withdrawn or the server stops.

    Each event is sent only when the connection has room, so a slow client makes nothing grow; one
    that takes nothing for some seconds is cut off by the connection.
    """

    media_type = "text/event-stream"

    def __init__(self, feed: Feed) -> None:
        super().__init__(headers={**NOT_KEPT, "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed: Callable[[], bool] = scope.get(STILL_ALLOWED, _always)
        self._feed.join()  # what it raises is answered like any other error
        gone = asyncio.ensure_future(_left(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._feed.events()) as events:
                async for event in events:
                    if not allowed():
                        break
                    await send({"type": "http.response.body", "body": event, "more_body": True})
                    if gone.done():
                        return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._feed.leave()


def _always() -> bool:
    return True


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(value: object) -> Response:
    return Response(dumps(value), headers=NOT_KEPT, media_type=JSON)
