# SPDX-License-Identifier: Apache-2.0
"""`aio top`: what the live page of a server shows, in a terminal."""

import argparse
import contextlib
from pathlib import Path
from typing import Any

from aio.runtime.commands.server_state import DEFAULT, StateClient
from aio.runtime.errors import InputError
from aio.runtime.printing import json_text

HELP = "show clocks, level and latency of a running server"
EXAMPLES = """\
examples:
  aio top                                  the server on this machine, until Ctrl-C
  aio top http://192.168.1.20:8000         one elsewhere
  aio top unix:/run/aio/serve.sock         one behind a Unix socket
  aio top --model digits                   one of several models
  aio top --once                           print once and end
  aio top --interval 10 >> top.log         a look every 10 s, one below the other
  aio top --json | jq .models[0].window    the same for programs
"""
LEAST_S, MOST_S = 0.1, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("address", nargs="?", default=DEFAULT, help="URL, or unix:PATH (%(default)s)")
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the server's token file, or one with the token to send in its first line",
    )
    add("--model", metavar="NAME", help="show only this model")
    add("--once", action="store_true", help="print once and end")
    add("--json", action="store_true", help="print the state once as JSON")
    add(
        "--interval",
        type=float,
        default=0.5,
        metavar="S",
        help=f"seconds between two looks, {LEAST_S:g} to {MOST_S:g} (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Show the state until Ctrl-C, or once."""
    if not LEAST_S <= args.interval <= MOST_S:
        raise InputError(
            f"--interval is {args.interval:g}, expected {LEAST_S:g} to {MOST_S:g} seconds"
        )
    client = StateClient(args.address, args.token_file)

    def ask() -> dict[str, Any]:
        return _chosen(client.get(), args.model)

    state = ask()
    if args.json:
        print(json_text(state))
        return 0
    from aio.runtime.commands.top_show import follow, show_once  # noqa: PLC0415

    if args.once:
        show_once(state)
        return 0
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        follow(state, ask, args.interval)
    return 0


def _chosen(state: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return the state with the model of this name alone; before any is loaded, as it is."""
    models = state["models"]
    chosen = [model for model in models if name in {None, model["name"]}]
    if models and not chosen:
        names = ", ".join(model["name"] for model in models)
        raise InputError(f"--model is {name!r}, expected one of those that are loaded: {names}")
    return {**state, "models": chosen}
