# SPDX-License-Identifier: Apache-2.0
"""Pages of this server, pages that were allowed, and all others."""

import pytest

from aio.runtime.errors import InputError
from aio.runtime.serve.security.origins import Origins

HOST = b"device.local:8000"
ORIGINS = Origins(["https://App.example.com", "http://localhost:3000"])


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (b"http://device.local:8000", True),
        (b"https://device.local:8000", True),  # TLS ends at a proxy
        (b"HTTP://DEVICE.local:8000", True),
        (b"https://app.example.com", True),
        (b"http://localhost:3000", True),
        (b"http://device.local", False),
        (b"http://device.local:8001", False),
        (b"http://evil.org", False),
        (b"http://app.example.com", False),
        (b"https://app.example.com.evil.org", False),
        (b"https://app.example.com/", False),
        (b"http://evil.org://device.local:8000", False),
        (b"null", False),
        (b"", False),
        (b"://", False),
        (b"\xff", False),
    ],
)
def test_the_origin_decides(method: str, origin: bytes, accepted: bool) -> None:
    assert ORIGINS.accepts(method, origin, HOST, b"") == accepted


@pytest.mark.parametrize(
    ("method", "fetch_site", "accepted"),
    [
        ("GET", b"cross-site", True),
        ("HEAD", b"cross-site", True),
        ("POST", b"cross-site", False),
        ("POST", b"same-site", False),
        ("POST", b"same-origin", True),
        ("POST", b"none", True),
        ("POST", b"", True),
        ("PUT", b"cross-site", False),
    ],
)
def test_without_origin(method: str, fetch_site: bytes, accepted: bool) -> None:
    assert ORIGINS.accepts(method, None, HOST, fetch_site) == accepted


def test_an_empty_host_is_nobodys_origin() -> None:
    assert not Origins().accepts("POST", b"http://", b"", b"")
    assert not Origins().accepts("POST", b"null", b"", b"")
    assert not Origins().accepts("POST", b"null", b"null", b"")


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "", "example.com", "https://", "https://x/", "https://x y", "https://*.x"],
)
def test_wrong_origins(origin: str) -> None:
    with pytest.raises(InputError, match="no origin of web pages"):
        Origins([origin])
