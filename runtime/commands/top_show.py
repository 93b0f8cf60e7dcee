# SPDX-License-Identifier: Apache-2.0
"""One look after the other: in place on a terminal, one below the other anywhere else."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from aio.governors.settings.signals import deferred
from aio.runtime.commands.top_text import look
from aio.runtime.errors import InputError

PIPE_WIDTH = 200  # a file or pipe has none of its own
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

State = dict[str, Any]


def show_once(state: State) -> None:
    """Print a look of any height."""
    _print(_console(), state)


def follow(state: State, ask: Callable[[], State], interval_s: float) -> None:
    """Show this state, then a new one after each interval, for ever.

    Args:
        state: what to begin with.
        ask: returns the state of then; what it raises as InputError is shown.
        interval_s: time between two looks.
    """
    console = _console()
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        _follow_in_place(console, state, ask, interval_s)
        return
    _print(console, state)
    while True:
        time.sleep(interval_s)
        print()
        _print(console, _ask(ask))


def _follow_in_place(
    console: Console, state: State, ask: Callable[[], State], interval_s: float
) -> None:
    def fit(found: State | Text) -> RenderableType:
        return found if isinstance(found, Text) else look(found, *console.size)

    live = Live(fit(state), console=console, screen=True, auto_refresh=False)
    with _ending_once():
        try:
            with deferred():
                live.start(refresh=True)
            while True:
                time.sleep(interval_s)
                live.update(fit(_ask(ask)), refresh=True)
        finally:
            with contextlib.suppress(OSError):  # a terminal that hung up is gone
                live.stop()


@contextlib.contextmanager
def _ending_once() -> Iterator[None]:
    """Let the first signal that ends us raise, and none after it disturb what cleans up."""
    heeded = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    ended = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal ended
        if ended:
            return
        ended = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = [signal.signal(number, end) for number in heeded]
    try:
        yield
    finally:
        for number, handler in zip(heeded, before, strict=True):
            signal.signal(number, handler)


def _ask(ask: Callable[[], State]) -> State | Text:
    try:
        return ask()
    except InputError as error:  # it may come back
        return Text(str(error))


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def _print(console: Console, found: State | Text) -> None:
    """Print at once, by `print`: rich ends the process itself when the reader has gone."""
    with console.capture() as captured:
        console.print(found if isinstance(found, Text) else look(found, console.width))
    print(captured.get(), end="", flush=True)
