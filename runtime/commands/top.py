# SPDX-License-Identifier: Apache-2.0
"""`aio top`: what the live page of a server shows, in a terminal."""

import argparse
import sys
import time
from pathlib import Path

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
    state = client.get()
    if args.json:
        print(json_text(state))
        return 0
    from rich.console import Console, RenderableType  # noqa: PLC0415

    from aio.runtime.commands.top_text import screen  # noqa: PLC0415

    # A file or pipe has no width; reasons stay on one line there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    if args.once:
        console.print(screen(state))
        return 0
    from rich.live import Live  # noqa: PLC0415

    def _look(client: StateClient) -> RenderableType:
        try:
            return screen(client.get())
        except InputError as error:  # it may come back
            return str(error)

    try:
        with Live(screen(state), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(args.interval)
                live.update(_look(client), refresh=True)
    except KeyboardInterrupt:
        return 0
