# SPDX-License-Identifier: Apache-2.0
"""The port of gRPC, taken before anything slow is done. Loads nothing of gRPC itself."""

import importlib.util
import socket
from contextlib import AbstractContextManager, nullcontext

from aio.runtime.errors import InputError
from aio.runtime.serve.transport.listen import bind

NATIVE = "aio.runtime._grpc"
NEEDED = ("google", "google.protobuf", NATIVE)  # a parent comes before its child
BRINGS = {NATIVE: "`apt-get install libnghttp2-dev` and a new build of aio-runtime bring it"}


def reserve(
    host: str, port: int | None, *, insecure: bool = False
) -> AbstractContextManager[socket.socket | None]:
    """Return a bound socket for gRPC, or None without a port; the rules are those of HTTP.

    Raises:
        InputError: gRPC is not installed, or the address can't be had.
    """
    if port is None:
        return nullcontext()
    module = missing_module()
    if module is not None:
        raise InputError(
            f"--grpc-port needs the module {module}, which is not installed; "
            + BRINGS.get(module, "`pip install 'aio-runtime[grpc]'` brings it")
        )
    try:
        return bind(host, port, insecure=insecure)
    except InputError as error:
        raise InputError(f"gRPC: {error}".replace("--port", "--grpc-port")) from None


def missing_module() -> str | None:
    """Return the first module gRPC needs that is not installed, None if all are."""
    return next((module for module in NEEDED if not _is_installed(module)), None)


def address(reserved: socket.socket) -> str:
    """Return the address of a socket as gRPC clients want it."""
    host, port = reserved.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # it is in sys.modules, as something that can't be imported
        return False
