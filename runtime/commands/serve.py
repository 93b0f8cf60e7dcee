# SPDX-License-Identifier: Apache-2.0
"""`aio serve`, also installed as `aio-serve`: answer inference requests over HTTP."""

import argparse
import contextlib
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aio.runtime.commands.options import add_governor_options, governor_options
from aio.runtime.errors import InputError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

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
  aio-serve --unix-socket /run/aio/serve.sock --no-tcp   for programs of this machine
  aio-serve --port 0                         any free port; the start line says which
  aio-serve --grpc-port 8001                 also over gRPC, on the same host
"""

_LOG_LEVELS = ("debug", "info", "warning", "error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("model", nargs="?", type=Path, help="model file (the digit classifier that ships)")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8000, help="port; 0 takes a free one (%(default)s)")
    add(
        "--grpc-port",
        type=int,
        metavar="N",
        help="serve gRPC too, on this port; 0 takes a free one (off)",
    )
    add(
        "--insecure",
        action="store_true",
        help="allow an address that other machines can reach; there is no authentication",
    )
    add("--unix-socket", type=Path, metavar="PATH", help="also listen on a Unix socket")
    add(
        "--unix-mode",
        type=_octal,
        default=0o660,
        metavar="MODE",
        help="permissions of the Unix socket (0660)",
    )
    add("--no-tcp", action="store_true", help="listen on the Unix socket alone")
    add_governor_options(parser)
    add("--threads", type=int, metavar="N", help="threads that compute (follows the machine)")
    add(
        "--min-accuracy",
        type=float,
        metavar="A",
        help="never choose a level of less recorded accuracy, 0 to 1",
    )
    add("--level", type=int, metavar="L", help="always use this level; 0 is the densest")
    add(
        "--log-level",
        choices=_LOG_LEVELS,
        default="warning",
        help="of the log on stderr; info logs every request (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    from aio.runtime.serve.limits import Limits  # noqa: PLC0415
    from aio.runtime.serve.rpc.reserve import address, reserve  # noqa: PLC0415
    from aio.runtime.serve.server import serve  # noqa: PLC0415
    from aio.runtime.serve.transport.listen import url  # noqa: PLC0415

    logging.basicConfig(
        stream=sys.stderr,
        level=args.log_level.upper(),
        format="aio-serve: %(levelname)s: %(message)s",
    )
    if args.log_level == "warning":  # uvicorn warns of every client that does not speak HTTP
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in _listeners(args)]
        urls = [url(listener) for listener in listeners]
        reserved = stack.enter_context(reserve(args.host, args.grpc_port, insecure=args.insecure))
        grpc = None if reserved is None else address(reserved)
        announce = partial(_announce, args, urls, grpc)
        return serve(listeners, partial(_load, args), announce, Limits(), reserved)


def _listeners(args: argparse.Namespace) -> "Iterator[socket.socket]":
    from aio.runtime.serve.transport.listen import bind  # noqa: PLC0415
    from aio.runtime.serve.transport.unix_socket import bind_unix  # noqa: PLC0415

    if args.no_tcp and args.unix_socket is None:
        raise InputError("--no-tcp leaves nothing to listen on; name a --unix-socket")
    if not args.no_tcp:
        yield bind(args.host, args.port, insecure=args.insecure)
    if args.unix_socket is not None:
        yield bind_unix(args.unix_socket, args.unix_mode)


def _octal(text: str) -> int:
    return int(text, 8)


def _load(args: argparse.Namespace) -> "Runtime":
    from aio.runtime.runtime import Runtime  # noqa: PLC0415

    return Runtime.load(
        args.model,
        threads=args.threads,
        min_accuracy=args.min_accuracy,
        level=args.level,
        **governor_options(args),
    )


def _announce(
    args: argparse.Namespace, urls: list[str], grpc: str | None, model: "ServedModel"
) -> None:
    from aio.runtime.serve.announce import example, start_line  # noqa: PLC0415

    origin = "default" if args.target_ms is None else "given"
    where = " and ".join(urls)
    lines = [start_line(model.engine, where, target=origin, level=args.level, grpc=grpc)]
    if args.model is None:
        lines.append(example(urls[0], model.spec.name))
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:  # as in `aio-serve | head -1`: the server goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
