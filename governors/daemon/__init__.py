# SPDX-License-Identifier: Apache-2.0
"""One process samples for all: the daemon of `aio governor`, and the client that follows it.

The daemon publishes through a file in memory (layout.py, writer.py), which any number of clients
read without locks (reader.py, client.py), and is asked and told things through a Unix socket
(control.py, console.py). See docs/daemon.md.
"""

from aio.governors.daemon.client import SharedSensors, daemon_paths, find_daemon
from aio.governors.daemon.folder import runtime_dir

__all__ = ["SharedSensors", "daemon_paths", "find_daemon", "runtime_dir"]
