# SPDX-License-Identifier: Apache-2.0
"""The files of the page: read from the package when first asked for, then kept.

They name no other host, so the page works on a device without a network, and the content security
policy holds it to that. A browser keeps them but asks each time whether they are still the same.
"""

import hashlib
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

INDEX = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class Assets:
    """The files below `static/`, by their path there."""

    def __init__(self) -> None:
        self._top = resources.files(__package__) / "static"
        self._kept: dict[str, tuple[bytes, str]] = {}  # with the tag
        self._names: frozenset[str] | None = None

    async def index(self, request: Request) -> Response:
        """Return the page."""
        return self._answer(request, INDEX)

    async def file(self, request: Request) -> Response:
        """Return one of its files."""
        return self._answer(request, str(request.path_params["path"]))

    @property
    def names(self) -> frozenset[str]:
        """Return every file there is, so that a path from outside is looked up, not followed."""
        if self._names is None:
            self._names = frozenset(
                f"{folder}{item.name}"
                for folder, parent in (("", self._top), ("vendor/", self._top / "vendor"))
                for item in parent.iterdir()
                if item.is_file() and _suffix(item.name) in TYPES
            )
        return self._names

    def _answer(self, request: Request, name: str) -> Response:
        if name not in self.names:
            raise HTTPException(404)
        if name not in self._kept:
            data = self._top.joinpath(*name.split("/")).read_bytes()
            self._kept[name] = data, f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        data, tag = self._kept[name]
        headers = {**HEADERS, "etag": tag, "content-type": TYPES[_suffix(name)]}
        known = request.headers.get("if-none-match", "")
        if tag in [part.strip().removeprefix("W/") for part in known.split(",")]:
            del headers["content-type"]
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
