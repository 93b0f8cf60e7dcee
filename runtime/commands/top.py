# SPDX-License-Identifier: Apache-2.0
"""`aio top`: what the live page of a server shows, in a terminal."""

import argparse
import sys
import time
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
  aio top --once                           print once and end
  aio top --json | jq .models[0].window    the same for programs
"""
PIPE_WIDTH = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("address", nargs="?", default=DEFAULT, help="URL, or unix:PATH (%(default)s)")
    add("--token-file", type=Path, metavar="FILE", help="holds the token that the server wants")
    add("--model", metavar="NAME", help="show only this model")
    add("--once", action="store_true", help="print once and end")
    add("--json", action="store_true", help="print the state once as JSON")
    add(
        "--interval",
        type=float,
        default=0.5,
        metavar="S",
        help="seconds between two looks (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Show the state until Ctrl-C, or once."""
    if not args.interval > 0:
        raise InputError(f"--interval is {args.interval}, expected more than 0 seconds")
    client = StateClient(args.address, args.token_file)

    def ask() -> dict[str, Any]:
        return _chosen(client.get(), args.model)

    state = ask()
    if args.json:
        print(json_text(state))
        return 0
    from rich.console import Console, RenderableType  # noqa: PLC0415

    from aio.runtime.commands.top_text import look  # noqa: PLC0415

    # A file or pipe has no width; reasons stay on one line there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    if args.once:
        console.print(look(state, console.width))
        return 0
    from rich.live import Live  # noqa: PLC0415

    def _look() -> RenderableType:
        try:
            return look(ask(), *console.size)
        except InputError as error:  # it may come back
            return str(error)

    try:
        with Live(
            look(state, *console.size), console=console, screen=True, auto_refresh=False
        ) as live:
            while True:
                time.sleep(args.interval)
                live.update(_look(), refresh=True)
    except KeyboardInterrupt:
        return 0


def _chosen(state: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return the state with the model of this name alone; before any is loaded, as it is."""
    models = state["models"]
    chosen = [model for model in models if name in {None, model["name"]}]
    if models and not chosen:
        names = ", ".join(model["name"] for model in models)
        raise InputError(f"--model is {name!r}, expected one of those that are loaded: {names}")
    return {**state, "models": chosen}
