# SPDX-License-Identifier: Apache-2.0
"""Tell the service manager how the daemon is, if one asked: systemd's notification protocol.

See sd_notify(3): one datagram of lines like READY=1 to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import contextlib
import os
import socket


class ServiceManager:
    """The service manager of this process; without one, nothing is sent.

    Attributes:
        watchdog_s: how long it waits for a sign of life, None if it does not.
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s() if self._address else None

    def tell(self, *lines: str) -> None:
        """Send a message; a manager that went away is no reason to stop."""
        if not self._address:
            return
        # "@" stands for the abstract namespace, whose names begin with a zero.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
        ):
            manager.settimeout(1.0)
            manager.sendto("\n".join(lines).encode(), address)


def _watchdog_s() -> float | None:
    """Return WATCHDOG_USEC in seconds if it is meant for this process."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdigit() or pid != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 or None
