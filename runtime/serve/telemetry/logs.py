# SPDX-License-Identifier: Apache-2.0
"""The log on standard error, as text for people or as one JSON object a line for machines.

Texts of clients end up in messages, so no record can begin a line of its own or move a
terminal's cursor: control characters are escaped, and the lines of a traceback are marked.
"""

import json
import logging
import sys
from datetime import datetime, timezone
from typing import IO

PROGRAM = "aio-serve"
FORMATS = ("text", "json")
# C0, DEL and C1 control characters, and the two line ends that only Unicode knows.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_MARK = "    | "


def configure_logs(level: str, form: str, stream: IO[str] | None = None) -> None:
    """Send every record of this process from `level` on to the stream, standard error if None.

    Args:
        level: "debug" to "error".
        form: one of FORMATS.
        stream: where to.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn warns of every client that does not speak HTTP.
    quiet = logging.ERROR if level == "warning" else logging.NOTSET
    logging.getLogger("uvicorn").setLevel(quiet)


class TextFormatter(logging.Formatter):
    """`aio-serve: WARNING: message name=value`, a traceback in marked lines below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        line = f"{PROGRAM}: {record.levelname}: {record.getMessage()}".translate(_ESCAPES)
        if record.exc_info:
            trace = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n{_MARK}{part.translate(_ESCAPES)}" for part in trace)
        return line


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, what the record adds, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        entry: dict[str, object] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json_line(entry)


def rfc3339(time_s: float) -> str:
    """Return a time since the epoch in UTC with milliseconds."""
    moment = datetime.fromtimestamp(time_s, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(entry: dict[str, object]) -> str:
    """Return an object in ASCII and without line ends, whatever its texts hold."""
    return json.dumps(entry, default=str, separators=(",", ":"))
