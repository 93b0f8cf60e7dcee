# SPDX-License-Identifier: Apache-2.0
"""Addresses that can't be listened on, and what is said about them."""

from pathlib import Path

import pytest

from aio.runtime.errors import InputError
from aio.runtime.serve.transport.listen import bind, url


def test_a_free_port_is_taken_and_told() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url(listener) == f"http://127.0.0.1:{port}"


def test_a_name_of_the_loopback() -> None:
    with bind("localhost", 0) as listener:
        assert url(listener).startswith("http://")


def test_ipv6() -> None:
    address = ("::1", 0)
    if not Path("/proc/net/if_inet6").exists():
        with pytest.raises(InputError, match="::1"):
            bind(*address)
        return
    with bind(*address) as listener:
        assert url(listener).startswith("http://[::1]:")


def test_a_port_in_use() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 is in use.*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_other_machines_only_when_told(host: str) -> None:
    with pytest.raises(InputError, match=r"--insecure|no address"):
        bind(host, 0)


def test_insecure() -> None:
    with bind("0.0.0.0", 0, insecure=True) as listener:
        assert url(listener).startswith("http://0.0.0.0:")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "a" * 300, "x\0y"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(InputError, match="is no address of this machine"):
        bind(host, 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(InputError, match="port must be 0 to 65535"):
        bind("127.0.0.1", port)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(InputError, match=r"can't listen on 203\.0\.113\.1 port 0"):
        bind("203.0.113.1", 0, insecure=True)
