# SPDX-License-Identifier: Apache-2.0
"""The listening socket: bound before anything slow is done, with errors that say what to do."""

import errno
import ipaddress
import socket

from aio.runtime.errors import InputError

MAX_PORT = 65535


def bind(host: str, port: int, *, insecure: bool = False) -> socket.socket:
    """Return a TCP socket bound to the address; port 0 takes a free one.

    Raises:
        InputError: the address is unknown, taken, not allowed, or reachable from other
            machines without `insecure`.
    """
    if not 0 <= port <= MAX_PORT:
        raise InputError(f"port must be 0 to {MAX_PORT}, got {port}")
    family, address = _resolve(host, port)
    if not (insecure or is_loopback(host)):
        raise InputError(
            f"{host} is reachable from other machines; use --host 127.0.0.1, --token-file FILE so "
            "that clients must present a token, or --insecure if the network is trusted"
        )
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it on, an answer
    # written as head and body waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InputError(_explain(error, host, port)) from None
    return listener


def is_loopback(host: str) -> bool:
    """Return whether an address is for programs on this machine only.

    Raises:
        InputError: it is none.
    """
    _, address = _resolve(host, 0)
    return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback


def url(listener: socket.socket) -> str:
    """Return the address of the socket as a URL; a path after `unix:` if it is a Unix socket."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError(f"host {host!r} is no address of this machine: {error}") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), port)


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use; stop the program that has it, or choose another "
            "with --port (0 takes a free one)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is for privileged programs; choose one above 1023 with --port"
    return f"can't listen on {host} port {port}: {error.strerror}"
