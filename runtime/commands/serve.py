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

from aio.runtime.commands.limit_option import limit, make_limits
from aio.runtime.commands.numbers import real_number
from aio.runtime.commands.options import add_governor_options, governor_options
from aio.runtime.commands.permissions import Permissions, permissions
from aio.runtime.commands.queue_options import add_queue_options
from aio.runtime.commands.setting_values import Pairs
from aio.runtime.commands.settings import Settings
from aio.runtime.errors import InputError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from aio.runtime.runtime import Runtime
    from aio.runtime.serve.hosting.host import ServedModel
    from aio.runtime.serve.hosting.lifecycle import ModelDirectory
    from aio.runtime.serve.hosting.turn import ExecutorTurn
    from aio.runtime.serve.security.guard import Policy

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
  aio-serve --model-repository models/ --model-control explicit    a directory of models
  aio-serve --port 0                         any free port; the start line says which
  aio-serve --grpc-port 8001                 also over gRPC, on the same host
  aio-serve --config aio-serve.toml --check  say what would be used, and what is wrong with it
  aio-serve --host 0.0.0.0 --token-file token    for other machines, who must send the token
"""

MAX_DRAIN_S = 3600
VARIABLES = "AIO_SERVE_"

_LOG_LEVELS = ("debug", "info", "warning", "error")

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("model", nargs="?", type=Path, help="model file (the digit classifier that ships)")
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file with any of these options, named as here without the dashes; environment "
        f"variables are named like {VARIABLES}TARGET_MS; the command line counts most",
    )
    _add_repository(parser)
    _add_addresses(parser)
    _add_access(parser)
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
    _add_logging(parser)
    add(
        "--drain-delay",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="on SIGTERM be not ready for this long before not accepting any more (%(default)s)",
    )
    add(
        "--check",
        action="store_true",
        help="check options, files, address and model without serving; exit code 0 or 2",
    )
    add(
        "--limit",
        action=Pairs,
        type=limit,
        metavar="NAME=VALUE",
        help="a bound for clients, such as connections=32 or body_bytes=8MiB; may be repeated",
    )


def _add_repository(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("several models").add_argument
    add(
        "--model-repository",
        type=Path,
        metavar="DIR",
        help="serve the models NAME/VERSION/model.aio and NAME.aio of a directory, not one file",
    )
    add(
        "--model-control",
        choices=("none", "explicit"),
        default="none",
        help="explicit: clients may load and unload models of the repository (%(default)s)",
    )
    add(
        "--load-model",
        action="append",
        metavar="NAME",
        help="load only this model of the repository at the start, and fail without it; may be "
        "repeated",
    )


def _add_logging(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("log").add_argument
    add(
        "--log-level",
        choices=_LOG_LEVELS,
        default="warning",
        help="of the log on stderr; info logs every request (%(default)s)",
    )
    add(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="json: one object a line, the start line too (%(default)s)",
    )


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("addresses").add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8000, help="port; 0 takes a free one (%(default)s)")
    add(
        "--grpc-port",
        type=int,
        metavar="N",
        help="serve gRPC too, on this port; 0 takes a free one (off)",
    )
    add("--unix-socket", type=Path, metavar="PATH", help="also listen on a Unix socket")
    add(
        "--unix-mode",
        type=permissions,
        default=Permissions(0o660),
        metavar="MODE",
        help="permissions of the Unix socket, octal (%(default)s)",
    )
    add("--no-tcp", action="store_true", help="listen on the Unix socket alone, without gRPC")


def _add_access(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("access").add_argument
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with a token a line; every request but probes must present one",
    )
    add(
        "--insecure",
        action="store_true",
        help="allow an address that other machines can reach without a token",
    )
    add("--public-metrics", action="store_true", help="/metrics needs no token")
    add(
        "--allowed-host",
        action="append",
        metavar="NAME",
        help="name in Host that clients may use besides localhost and IP addresses; "
        "*.example.com, or * for any; may be repeated (any with a token)",
    )
    add(
        "--allowed-origin",
        action="append",
        metavar="URL",
        help="origin whose web pages may use the server, such as https://app.example.com; "
        "may be repeated",
    )


def read_arguments(
    parser: argparse.ArgumentParser, arguments: "Sequence[str]"
) -> argparse.Namespace:
    """Return the options from command line, environment and file."""
    return Settings(parser, VARIABLES).read(arguments, os.environ)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    from aio.runtime.serve.rpc.reserve import address  # noqa: PLC0415
    from aio.runtime.serve.security.policy import in_container, root_warning  # noqa: PLC0415
    from aio.runtime.serve.server import serve  # noqa: PLC0415
    from aio.runtime.serve.telemetry.logs import configure_logs  # noqa: PLC0415
    from aio.runtime.serve.transport.descriptors import make_room, needed, shortage  # noqa: PLC0415
    from aio.runtime.serve.transport.listen import url  # noqa: PLC0415

    configure_logs(args.log_level, args.log_format)
    if args.check:
        from aio.runtime.commands.serve_check import check_settings  # noqa: PLC0415

        return check_settings(args)
    if warning := root_warning(os.geteuid(), contained=in_container()):
        logger.warning(warning)
    limits, policy = make_limits(args), access_policy(args)
    descriptors = needed(limits, grpc=args.grpc_port is not None)
    make_room(descriptors)
    if warning := shortage(descriptors):
        logger.warning(warning)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in listen(args)]
        urls = [url(listener) for listener in listeners]
        reserved = stack.enter_context(reserve_grpc(args))
        grpc = None if reserved is None else address(reserved)
        return serve(
            listeners,
            models(args),
            partial(_announce, args, urls, grpc),
            limits,
            policy,
            reserved=reserved,
            drain_s=args.drain_delay,
        )


def access_policy(args: argparse.Namespace) -> "Policy":
    """Return who may ask."""
    from aio.runtime.serve.security.policy import make_policy  # noqa: PLC0415

    if args.token_file is None or args.allowed_host:  # then the host is among the names in Host
        _check_host(args.host)
    return make_policy(
        args.host,
        token_file=args.token_file,
        allowed_hosts=args.allowed_host or (),
        allowed_origins=args.allowed_origin or (),
        public_metrics=args.public_metrics,
    )


def _check_host(host: str) -> None:
    """Refuse what is no name for what it is; the guard's advice is for --allowed-host."""
    from aio.runtime.serve.security.names import HostNames  # noqa: PLC0415

    try:
        HostNames([host])
    except InputError:
        raise InputError(
            f"--host {host!r} is no address of this machine; expected one such as 127.0.0.1 or "
            "localhost, or 0.0.0.0 for all"
        ) from None


def listen(args: argparse.Namespace) -> "Iterator[socket.socket]":
    """Yield the bound sockets; one that others can reach needs a token or --insecure."""
    from aio.runtime.serve.transport.listen import bind, is_loopback  # noqa: PLC0415
    from aio.runtime.serve.transport.unix_socket import bind_unix  # noqa: PLC0415

    if args.no_tcp and args.unix_socket is None:
        raise InputError("--no-tcp leaves nothing to listen on; name a --unix-socket")
    if args.no_tcp and args.grpc_port is not None:
        raise InputError("gRPC needs TCP; take away either --no-tcp or --grpc-port")
    # Said here, as two sockets can be bound to one port until they listen.
    if args.port and args.port == args.grpc_port:
        raise InputError(
            f"--port and --grpc-port are both {args.port}; HTTP and gRPC need a port each"
        )
    if args.limit.get("regions") and not (args.no_tcp or is_loopback(args.host)):
        raise InputError(
            f"limit regions: shared memory is for clients on this machine, and {args.host} can be "
            "reached from others; use --host 127.0.0.1, or --no-tcp and a --unix-socket"
        )
    if not args.no_tcp:
        yield bind(args.host, args.port, insecure=_may_be_reached(args))
    if args.unix_socket is not None:
        yield bind_unix(args.unix_socket, args.unix_mode)


def reserve_grpc(
    args: argparse.Namespace,
) -> "contextlib.AbstractContextManager[socket.socket | None]":
    """Return the bound socket of gRPC, None if it is not served."""
    from aio.runtime.serve.rpc.reserve import reserve  # noqa: PLC0415

    return reserve(args.host, args.grpc_port, insecure=_may_be_reached(args))


def _may_be_reached(args: argparse.Namespace) -> bool:
    return args.insecure or args.token_file is not None


def models(args: argparse.Namespace) -> "Callable[[], Runtime] | ModelDirectory":
    """Return what loads the one model, or the directory of models."""
    if args.model_repository is None:
        if args.load_model or args.model_control != "none":
            raise InputError("--load-model and --model-control need --model-repository DIR")
        return partial(load, args, args.model)
    if args.model is not None:
        raise InputError(f"give either the file {args.model} or --model-repository, not both")
    from aio.runtime.serve.hosting.lifecycle import ModelDirectory  # noqa: PLC0415
    from aio.runtime.serve.hosting.repository import Repository  # noqa: PLC0415

    return ModelDirectory(
        Repository(args.model_repository),
        partial(load, args),
        tuple(args.load_model or ()),
        control=args.model_control == "explicit",
    )


def load(
    args: argparse.Namespace,
    path: Path | None,
    turn: "ExecutorTurn | None" = None,
    *,
    calibrate: bool = True,
) -> "Runtime":
    """Return the loaded model."""
    from aio.runtime.runtime import Runtime  # noqa: PLC0415

    return Runtime.load(
        path,
        threads=args.threads,
        min_accuracy=args.min_accuracy,
        level=args.level,
        calibrate=calibrate,
        turn=turn,
        **governor_options(args),
    )


def _announce(
    args: argparse.Namespace, urls: list[str], grpc: str | None, model: "ServedModel"
) -> None:
    from aio.runtime.serve.announce import example, start_entry, start_line  # noqa: PLC0415

    origin = "default" if args.target_ms is None else "given"
    where = " and ".join(urls)
    as_json = args.log_format == "json"
    start = start_entry if as_json else start_line
    name = model.spec.name
    lines = [start(model.engine, where, name=name, target=origin, level=args.level, grpc=grpc)]
    if args.model is None and args.model_repository is None and not as_json:
        lines.append(example(urls[0], name))
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:  # the server goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # as in `aio-serve | head -1`
            logger.warning("can't write the start line to standard output: %s", error.strerror)


def _seconds(text: str) -> float:
    value = real_number(text)
    if not 0 <= value <= MAX_DRAIN_S:
        raise argparse.ArgumentTypeError(f"expected 0 to {MAX_DRAIN_S} seconds, found {text}")
    return value
