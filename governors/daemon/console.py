# SPDX-License-Identifier: Apache-2.0
"""The other end of the daemon's control socket."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aio.governors.daemon.folder import SOCKET_NAME, client_dirs

TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024


class ControlError(OSError):
    """The daemon can't be asked, or refused; the message says why."""


def ask(
    command: str,
    folders: Sequence[Path] | None = None,
    timeout_s: float = TIMEOUT_S,
    **more: object,
) -> dict[str, Any]:
    """Ask the daemon one thing and return its answer.

    Args:
        command: `ping`, `status`, `set-period` (with `period_ms`) or `stop`.
        folders: runtime folders to look into; None are the usual ones.
        timeout_s: how long the whole exchange may take.
        more: other members of the request.

    Raises:
        ControlError: there is no daemon, it may not be asked, or it refused.
    """
    where = client_dirs() if folders is None else folders
    sockets = [folder / SOCKET_NAME for folder in where]
    path = next((path for path in sockets if path.exists()), None)
    if path is None:
        looked = ", ".join(str(path) for path in sockets)
        raise ControlError(f"no daemon: {looked} does not exist; `aio governor` starts one")
    try:
        line = _exchange(path, {"command": command, **more}, time.monotonic() + timeout_s)
    except ConnectionRefusedError:
        raise ControlError(f"no daemon: nobody listens at {path}") from None
    except BlockingIOError:  # what connecting to a full backlog gives
        raise ControlError(f"{path}: busy") from None
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}") from error
    answer = _parse(line)
    if answer is None:
        raise ControlError(f"{path}: the answer is not the daemon's")
    if not answer.pop("ok"):
        raise ControlError(str(answer.get("error")))
    return answer


def _exchange(path: Path, request: dict[str, object], deadline_s: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(_left_s(deadline_s))
        server.connect(str(path))
        # One that is refused is answered and closed before it has asked; the answer is there.
        with contextlib.suppress(BrokenPipeError):
            server.sendall(json.dumps(request).encode() + b"\n")
        received = bytearray()
        while not received.endswith(b"\n") and len(received) < _MAX_ANSWER_BYTES:
            server.settimeout(_left_s(deadline_s))
            data = server.recv(65536)
            if not data:
                break
            received += data
    return bytes(received)


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the daemon does not answer")
    return left_s


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("ok"), bool) else None
