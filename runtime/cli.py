# SPDX-License-Identifier: Apache-2.0
"""The `aio` command: finds sub-commands by entry point and turns errors into messages.

A sub-command is a module with `HELP`, `EXAMPLES`, `add_arguments(parser)` and `run(args) -> int`;
with `read_arguments(parser, arguments)` too if its options have more sources than the command line.
Only the one that is called gets loaded, so `aio train` may need torch while `aio serve` must not.

importlib.metadata, which takes longer than all other imports here, is loaded where an interrupt
is caught already.

Exit codes: 0 done, 1 failure, 2 wrong usage or input, 130 interrupted, 141 reader went away.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from aio.runtime.errors import AioError, InputError, ModelFileError
from aio.runtime.version import DISTRIBUTION, package_version

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "aio.commands"
# Where the module of a requirement is not named like its distribution.
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "prometheus_client": "prometheus-client"}

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


class Command(Protocol):
    """What the module of a sub-command offers."""

    HELP: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `aio` with the given arguments, those of the process if None."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        points = _commands()
        if arguments and arguments[0] in points:
            return _run(points[arguments[0]], f"aio {arguments[0]}", arguments[1:])
        _overview(points).parse_args(arguments or ["--help"])
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_USAGE  # not reached: the parser knows no argument that is fine


def serve_main(argv: Sequence[str] | None = None) -> int:
    """Run `aio-serve`, which is `aio serve` by another name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        points = _commands()
        if "serve" not in points:
            return _fail("aio-serve", f"the distribution {DISTRIBUTION} is not installed", 1)
        return _run(points["serve"], "aio-serve", arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _commands() -> dict[str, "EntryPoint"]:
    from importlib.metadata import entry_points  # noqa: PLC0415

    return {point.name: point for point in entry_points(group=GROUP)}


def _overview(points: Mapping[str, "EntryPoint"]) -> argparse.ArgumentParser:
    width = max((len(name) for name in points), default=0)
    lines = [f"  {name:<{width}}  {_help_line(points[name])}" for name in sorted(points)]
    parser = argparse.ArgumentParser(
        prog="aio",
        usage="aio [-h] [--version] COMMAND ...",
        description="Inference whose pruning ratio follows the clock.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`aio COMMAND --help` shows examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"aio {package_version()}")
    parser.add_argument(
        "command",
        metavar="COMMAND",
        choices=sorted(points),
        help=argparse.SUPPRESS,
    )
    return parser


def _help_line(point: "EntryPoint") -> str:
    try:
        return _load(point).HELP
    except ImportError as error:
        return f"(not available: {error})"


def _load(point: "EntryPoint") -> Command:
    return cast("Command", import_module(point.module))


def _run(point: "EntryPoint", program: str, arguments: list[str]) -> int:
    try:
        return _call(point, program, arguments)
    except BrokenPipeError:
        # The reader of a pipe (such as `head`) has enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except ModuleNotFoundError as error:
        remedy = _remedy(error)
        if remedy is None:
            raise
        return _fail(program, remedy, EXIT_FAILURE)
    except (InputError, ModelFileError, ValueError) as error:
        return _fail(program, str(error), EXIT_USAGE)
    except (AioError, OSError) as error:
        return _fail(program, str(error), EXIT_FAILURE)


def _call(point: "EntryPoint", program: str, arguments: list[str]) -> int:
    command = _load(point)
    parser = argparse.ArgumentParser(
        prog=program,
        description=command.HELP[:1].upper() + command.HELP[1:] + ".",
        epilog=command.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    read = getattr(command, "read_arguments", argparse.ArgumentParser.parse_args)
    code = command.run(read(parser, arguments))
    if sys.stdout is not None:  # it is None if it was closed before the start, as by >&-
        sys.stdout.flush()  # here, where a broken pipe is still ours to handle
    return code


def _fail(program: str, message: str, code: int) -> int:
    print(f"{program}: error: {message}", file=sys.stderr)
    return code


def _remedy(error: ModuleNotFoundError) -> str | None:
    """Return which extra of this distribution has the missing module, None if there is none."""
    from importlib.metadata import PackageNotFoundError, requires  # noqa: PLC0415

    module = (error.name or "").partition(".")[0]
    wanted = _DISTRIBUTIONS.get(module, module)
    try:
        requirements = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return None
    for requirement in requirements:
        name, _, marker = requirement.partition(";")
        if not name.strip().startswith(wanted) or not wanted:
            continue
        if "extra ==" not in marker:
            return f"the module {module} is missing: pip install {DISTRIBUTION}"
        extra = marker.partition("extra ==")[2].strip(" '\"")
        return f"the module {module} is missing: pip install '{DISTRIBUTION}[{extra}]'"
    return None


if __name__ == "__main__":
    sys.exit(main())
