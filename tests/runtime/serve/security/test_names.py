# SPDX-License-Identifier: Apache-2.0
"""Values of Host that name this server, and those of somebody else's page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.errors import InputError
from aio.runtime.serve.security.names import HostNames

NAMES = HostNames(["device.local", "*.fleet.example.com", "aio_serve", "JETSON"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:8000",
        "192.168.1.20:80",
        "[::1]",
        "[::1]:8000",
        "[fe80::1]",
        "device.local",
        "Device.Local:8000",
        "a.fleet.example.com",
        "a.b.fleet.example.com:443",
        "aio_serve:8000",
        "jetson",
    ],
)
def test_accepted(host: str) -> None:
    assert NAMES.accepts(host.encode())
    assert NAMES.accepts(host.encode())  # and again, from memory


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example.org",
        "evil.example.org:8000",
        "localhost.evil.org",
        "127.0.0.1.evil.org",
        "evil-device.local",
        "fleet.example.com",
        "fleet.example.com.evil.org",
        "xfleet.example.com",
        "2130706433",
        "0x7f000001",
        "127.1",
        "localhost:",
        "localhost:8000:8000",
        "localhost:99999999",
        "localhost@evil.org",
        "evil.org#localhost",
        "localhost/..",
        " localhost",
        "local host",
        "localhost\n",
        "[::1",
        "::1",
        "[evil.org]",
        "l\u00f6calhost",
        "x" * 300,
    ],
)
def test_refused(host: str) -> None:
    assert not NAMES.accepts(host.encode("latin-1"))


def test_any_name() -> None:
    names = HostNames(["*"])
    assert names.accepts(b"whatever.example.org")
    assert not names.accepts(b"what ever")


@given(host=st.binary(max_size=60))
def test_no_bytes_are_an_error(host: bytes) -> None:
    assert HostNames().accepts(host) in {True, False}


def test_what_is_remembered_is_bounded() -> None:
    names = HostNames(["*"])
    for number in range(1000):
        assert names.accepts(f"host-{number}".encode())
    assert len(names._fine) <= 64


@pytest.mark.parametrize(
    "name", ["", "a b", "http://x", "x:80", "*.", "**", "*x.com", "x.*", "x/y", "a..b"]
)
def test_wrong_names(name: str) -> None:
    with pytest.raises(InputError, match="no host name"):
        HostNames([name])
