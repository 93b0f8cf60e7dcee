# SPDX-License-Identifier: Apache-2.0
"""Options from command line, environment and file: which counts, and what is refused."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.commands.setting_values import Pairs
from aio.runtime.commands.settings import Settings
from aio.runtime.commands.settings_file import MAX_FILE_BYTES, read_file
from aio.runtime.errors import InputError

Read = Callable[..., argparse.Namespace]


def pair(text: str) -> tuple[str, int]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, int(value)


def small(text: str) -> int:
    value = int(text)
    if value > 9:
        raise InputError(f"at most 9, got {value}")
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="x")
    add = parser.add_argument
    add("model", nargs="?", type=Path)
    add("--config", type=Path)
    add("--check", action="store_true")
    add("--host", "-H", default="here", help="(%(default)s)")
    add("--port", type=int, default=8000)
    add("--target-ms", type=float)
    add("--fast", action="store_true")
    add("--no-replan", action="store_true")
    add("--page", action=argparse.BooleanOptionalAction, default=True)
    add("--mode", choices=("a", "b"), default="a")
    add("--small", type=small)
    add("--token-file", type=Path)
    add("--name", action="append")
    add("--folder", action="append", type=Path)
    add("--limit", action=Pairs, type=pair)
    add("--cache", type=Path, default="cache")
    return parser


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(
        *arguments: str, file: str | None = None, environ: Mapping[str, str] | None = None
    ) -> argparse.Namespace:
        given = list(arguments)
        if file is not None:
            path = tmp_path / "x.toml"
            path.write_text(file)
            given += ["--config", str(path)]
        return Settings(make_parser(), "X_").read(given, environ or {})

    return read


def test_a_default_on_the_command_line_counts_too(read: Read) -> None:
    args = read("--port", "8000", "--mode", "a", file="port = 9", environ={"X_MODE": "b"})
    assert (args.port, args.mode) == (8000, "a")
    assert args.origins["port"] == args.origins["mode"] == "command line"


def test_defaults(read: Read) -> None:
    args = read()
    expected = vars(make_parser().parse_args([]))
    expected |= {"limit": {}, "origins": args.origins}
    assert vars(args) == expected
    assert set(args.origins.values()) == {"default"}
    assert args.cache == Path("cache")


def test_the_order_of_places(read: Read, tmp_path: Path) -> None:
    file = 'host = "file"\nport = 1\nmode = "b"\n'
    environ = {"X_HOST": "variable", "X_PORT": "2"}
    args = read("--host", "line", file=file, environ=environ)
    assert (args.host, args.port, args.mode) == ("line", 2, "b")
    assert args.origins["host"] == "command line"
    assert args.origins["port"] == "X_PORT"
    assert args.origins["mode"] == str(tmp_path / "x.toml")
    assert args.origins["fast"] == "default"


def test_the_command_line_alone_means_what_argparse_says(read: Read) -> None:
    line = ["m.aio", "-H", "h", "--fast", "--no-page", "--name", "a", "--name", "b", "--mode", "b"]
    found, expected = vars(read(*line)), vars(make_parser().parse_args(line))
    assert {name: found[name] for name in expected if name != "limit"} == {
        name: value for name, value in expected.items() if name != "limit"
    }


def test_every_kind_of_value_in_a_file(read: Read, tmp_path: Path) -> None:
    args = read(
        file="""
        model = "m.aio"
        port = 0
        target-ms = 20
        fast = true
        no-replan = false
        page = false
        small = 9
        token-file = "/etc/token"
        name = ["a", "b"]
        folder = "one"
        [limit]
        queue = 5
        """
    )
    assert args.model == tmp_path / "m.aio"
    assert args.token_file == Path("/etc/token")
    assert (args.port, args.target_ms, args.small) == (0, 20.0, 9)
    assert isinstance(args.target_ms, float)
    assert (args.fast, args.no_replan, args.page) == (True, False, False)
    assert (args.name, args.folder) == (["a", "b"], [tmp_path / "one"])
    assert args.limit == {"queue": 5}


def test_every_kind_of_value_in_a_variable(read: Read) -> None:
    args = read(
        environ={
            "X_MODEL": "m.aio",
            "X_PORT": "80",
            "X_TARGET_MS": "1.5",
            "X_FAST": "yes",
            "X_PAGE": "0",
            "X_NAME": "a,b",
            "X_LIMIT": "queue=5,batch=2",
            "X_MODE": "",
            "UNRELATED": "x",
        }
    )
    assert (args.model, args.port, args.target_ms) == (Path("m.aio"), 80, 1.5)
    assert (args.fast, args.page, args.name) == (True, False, ["a", "b"])
    assert args.limit == {"queue": 5, "batch": 2}
    assert (args.mode, args.origins["mode"]) == ("a", "default")


def test_pairs_of_all_places_are_put_together(read: Read) -> None:
    args = read(
        "--limit",
        "a=1",
        "--limit",
        "a=2",
        file="[limit]\na = 5\nb = 5\nc = 5\n",
        environ={"X_LIMIT": "a=4,b=4"},
    )
    assert args.limit == {"a": 2, "b": 4, "c": 5}
    assert args.origins["limit.a"] == "command line"
    assert args.origins["limit.b"] == "X_LIMIT"
    assert args.origins["limit.c"].endswith("x.toml")


def test_a_list_on_the_command_line_replaces_that_of_the_file(read: Read) -> None:
    assert read("--name", "c", file='name = ["a", "b"]').name == ["c"]


def test_the_file_may_be_named_by_a_variable(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "y.toml"
    path.write_text("port = 7\n")
    args = read(environ={"X_CONFIG": str(path)})
    assert (args.port, args.config) == (7, path)
    other = read(file="port = 8\n", environ={"X_CONFIG": str(path)})
    assert other.port == 8


def test_check_is_of_the_command_line(read: Read) -> None:
    assert read("--check").check is True
    assert read().check is False


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("prot = 1", "there is no setting 'prot'; do you mean 'port'"),
        ("target_ms = 1", "do you mean 'target-ms'"),
        ("zzzzz = 1", "no setting 'zzzzz'; --help"),
        ("check = true", "'check'; it is for the command line only"),
        ('config = "x"', "'config'; it is for the command line only"),
        ("help = true", "'help'; it is for the command line only"),
        ('port = "80"', "port: expected a whole number, found '80'"),
        ("port = 1.5", "port: expected a whole number, found 1.5"),
        ("port = true", "port: expected a whole number, found True"),
        ("port = [1]", r"port: expected a whole number, found \[1\]"),
        ('target-ms = "x"', "target-ms: expected a number"),
        ("target-ms = 2026-01-01", "target-ms: expected a number"),
        ("host = 1", "host: expected text, found 1"),
        ("fast = 1", "fast: expected true or false, found 1"),
        ('fast = "true"', "fast: expected true or false, found 'true'"),
        ('page = "x"', "page: expected true or false"),
        ('mode = "c"', "mode: expected one of a, b, found 'c'"),
        ("small = 10", "small: at most 9, got 10"),
        ('name = ["a", 1]', "name: expected text, found 1"),
        ("token-file = 5", "token-file: expected a path as text"),
        ("limit = 5", "limit: expected a table"),
        ("[limit]\nqueue = true", "limit: expected a number or text, found True"),
        ('[limit]\nqueue = "x"', "limit: expected a value, found 'queue=x'"),
        ("[other]\nx = 1", "there is no setting 'other'"),
        ("port = 1\nport = 2\n", r"x\.toml is not TOML: Cannot overwrite"),
        ("port = ", r"x\.toml is not TOML"),
    ],
)
def test_wrong_files(read: Read, file: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(file=file)
    assert "x.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("X_PROT", "1", "no option has the variable X_PROT; do you mean 'X_PORT'"),
        ("X_CHECK", "1", "no option has the variable X_CHECK"),
        ("X_PORT", "x", "X_PORT: expected a whole number, found 'x'"),
        ("X_PORT", "1.5", "X_PORT: expected a whole number"),
        ("X_TARGET_MS", "fast", "X_TARGET_MS: expected a number"),
        ("X_FAST", "maybe", "X_FAST: expected true or false, found 'maybe'"),
        ("X_MODE", "A", "X_MODE: expected one of a, b"),
        ("X_SMALL", "10", "X_SMALL: at most 9"),
        ("X_LIMIT", "queue", "X_LIMIT: expected NAME=VALUE, found 'queue'"),
    ],
)
def test_wrong_variables(read: Read, variable: str, value: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(environ={variable: value})


@pytest.mark.parametrize(
    "service", ["X", "X_PREDICTOR", "X_TOKEN", "X_CONFIG", "X_A_2_B", "X_PORT"]
)
def test_what_kubernetes_adds_for_services_is_no_setting(read: Read, service: str) -> None:
    environ = {
        "SERVICE_HOST": "10.0.0.11",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP_METRICS": "8000",
        "PORT": "tcp://10.0.0.11:8000",
        "PORT_8000_TCP": "tcp://10.0.0.11:8000",
        "PORT_8000_TCP_PROTO": "tcp",
        "PORT_8000_TCP_PORT": "8000",
        "PORT_8000_TCP_ADDR": "10.0.0.11",
        "PORT_53_UDP": "udp://[fd00::1]:53",
        "PORT_36412_SCTP_ADDR": "fd00::1",
    }
    args = read(environ={f"{service}_{name}": value for name, value in environ.items()})
    assert args.port == 8000
    assert set(args.origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("X_PROT", "tcp://10.0.0.11:8000"),
        ("X_PORTS", "8000"),
        ("X_OTHER_PORT", "8000"),
        ("X_PORT_HTTP", "8000"),
        ("X_PORT_8000", "8000"),
        ("X_PORT_8000_TCP_ADDRESS", "10.0.0.11"),
        ("X_TOKEN_FIEL", "token"),
        ("X_HOST_", "10.0.0.11"),
        ("X_MYSERVICE_HOST", "10.0.0.11"),
    ],
)
def test_what_only_looks_like_kubernetes_is_refused(read: Read, variable: str, value: str) -> None:
    with pytest.raises(InputError, match=f"no option has the variable {variable}"):
        read(environ={variable: value})


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        read_file(tmp_path / "none.toml")
    with pytest.raises(InputError, match="is not a regular file"):
        read_file(tmp_path)
    path = tmp_path / "x.toml"
    path.write_bytes(b"x = '\xff'")
    with pytest.raises(InputError, match="is not TOML"):
        read_file(path)
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(InputError, match="more than 1048576 bytes"):
        read_file(path)
    path.write_bytes(b"x = " + b"[" * 100_000)
    with pytest.raises(InputError, match="is not TOML"):
        read_file(path)


def test_a_named_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    code = (
        "import sys; from pathlib import Path\n"
        "from aio.runtime.commands.settings_file import read_file; read_file(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"the configuration {path} is not a regular file" in done.stderr


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_dictionary_or_an_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    said = ""
    found: object = None
    try:
        found = read_file(path)
    except InputError as error:
        said = str(error)
    assert isinstance(found, dict) or "any.toml" in said


def test_help_shows_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Settings(make_parser(), "X_").read(["--help"], {})
    assert "(here)" in capsys.readouterr().out
