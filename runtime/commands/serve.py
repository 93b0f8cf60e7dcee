# SPDX-License-Identifier: Apache-2.0
"""`aio serve`, also installed as `aio-serve`: answer inference requests over HTTP."""

import argparse
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aio.runtime.commands.options import add_governor_options, governor_options
from aio.runtime.commands.queue_options import add_queue_options, queue_options

if TYPE_CHECKING:
    from aio.runtime.runtime import Runtime
    from aio.runtime.serve.hosting.host import ServedModel

HELP = "serve a model over HTTP with the Open Inference Protocol (KServe V2)"
EXAMPLES = """\
examples:
  aio-serve                                  the digit classifier that ships, on port 8000
  aio-serve resnet18.aio --target-ms 20      hold 20 ms per sample while the clock changes
  aio-serve --target-ms 20 --battery-target-ms 40    be slower and denser on battery
  aio-serve --policy table                   whole levels, by the clock alone
  aio-serve --min-accuracy 0.95              never use a level that is less accurate
  aio-serve --level 0                        always the densest level
  aio-serve --port 0                         any free port; the start line says which
"""

_LOG_LEVELS = ("debug", "info", "warning", "error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("model", nargs="?", type=Path, help="model file (the digit classifier that ships)")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8000, help="port; 0 takes a free one (%(default)s)")
    add(
        "--insecure",
        action="store_true",
        help="allow an address that other machines can reach; there is no authentication",
    )
    add_governor_options(parser)
    add("--threads", type=int, metavar="N", help="threads that compute (follows the machine)")
    add(
        "--min-accuracy",
        type=float,
        metavar="A",
        help="never choose a level of less recorded accuracy, 0 to 1",
    )
    add("--level", type=int, metavar="L", help="always use this level; 0 is the densest")
    add_queue_options(parser)
    add(
        "--log-level",
        choices=_LOG_LEVELS,
        default="warning",
        help="of the log on stderr; info logs every request (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    from aio.runtime.serve.limits import Limits  # noqa: PLC0415
    from aio.runtime.serve.server import serve  # noqa: PLC0415
    from aio.runtime.serve.transport.listen import bind, url  # noqa: PLC0415

    logging.basicConfig(
        stream=sys.stderr,
        level=args.log_level.upper(),
        format="aio-serve: %(levelname)s: %(message)s",
    )
    if args.log_level == "warning":  # uvicorn warns of every client that does not speak HTTP
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
    with bind(args.host, args.port, insecure=args.insecure) as listener:
        limits = Limits(**queue_options(args))
        return serve(
            listener, partial(_load, args), partial(_announce, args, url(listener)), limits
        )


def _load(args: argparse.Namespace) -> "Runtime":
    from aio.runtime.runtime import Runtime  # noqa: PLC0415

    return Runtime.load(
        args.model,
        threads=args.threads,
        min_accuracy=args.min_accuracy,
        level=args.level,
        **governor_options(args),
    )


def _announce(args: argparse.Namespace, url: str, model: "ServedModel") -> None:
    from aio.runtime.serve.announce import example, start_line  # noqa: PLC0415

    origin = "default" if args.target_ms is None else "given"
    lines = [start_line(model.engine, url, target=origin, level=args.level)]
    if args.model is None:
        lines.append(example(url, model.spec.name))
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:  # as in `aio-serve | head -1`: the server goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
