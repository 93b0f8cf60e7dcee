# SPDX-License-Identifier: Apache-2.0
"""The names a client may use for the server in Host.

A page on the internet can point its own name at a loopback or private address and then talk to a
server there from the reader's browser (DNS rebinding). The browser sends the page's name in Host,
so a name nobody gave to this server is refused. An IP address needs no name server, so it is
always fine.
"""

import ipaddress
import re
from collections.abc import Iterable

from aio.runtime.errors import InputError

# Name or IPv4 address, or IPv6 address in brackets, with a port or without.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")
_PATTERN = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_REMEMBERED = 64  # values of Host that were found to be fine


class HostNames:
    """The names that are accepted, besides localhost and IP addresses.

    Args:
        names: exact names, `*.example.com` for all below one, or `*` for any.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        given = {_checked(name) for name in names}
        self._any = "*" in given
        self._exact = frozenset({"localhost", *given})
        self._suffixes = tuple(name[1:] for name in given if name.startswith("*."))
        self._fine: set[bytes] = set()

    def accepts(self, host: bytes) -> bool:
        """Return whether the value of a Host header names this server."""
        if host in self._fine:
            return True
        found = _HOST.fullmatch(host.decode("latin-1"))
        if found is None or not self._accepts_name(found[1].lower().rstrip(".")):
            return False
        if len(self._fine) < _REMEMBERED:
            self._fine.add(host)
        return True

    def _accepts_name(self, name: str) -> bool:
        return (
            self._any or name in self._exact or name.endswith(self._suffixes) or _is_address(name)
        )


def _checked(name: str) -> str:
    lower = name.lower()
    if not (_is_address(lower) or _PATTERN.fullmatch(lower)):
        raise InputError(
            f"{name!r} is no host name; expected one like device.local, *.example.com, or * for any"
        )
    return lower


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
