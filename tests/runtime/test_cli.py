# SPDX-License-Identifier: Apache-2.0
"""The `aio` command, with commands of a distribution that the test installs."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from aio.runtime import __version__, cli

COMMAND = """
HELP = "help of {name}"
EXAMPLES = "examples:\\n  aio {name} --fail"

def add_arguments(parser):
    parser.add_argument("--fail", action="store_true")

def run(args):
    {body}
"""

BODIES = {
    "good": "print('done'); return 0",
    "seven": "return 7",
    "input": "from aio.runtime import InputError; raise InputError('x=3: expected 4')",
    "file": "from aio.runtime import ModelFileError; raise ModelFileError('m.aio: is empty')",
    "value": "raise ValueError('--n is 0, expected 1')",
    "closed": "from aio.runtime import ClosedError; raise ClosedError('it was closed')",
    "disk": "raise OSError(28, 'No space left on device')",
    "interrupt": "raise KeyboardInterrupt",
    "sklearn": "raise ModuleNotFoundError(\"No module named 'sklearn'\", name='sklearn')",
    "core": "raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy.core')",
    "nowhere": "import not_in_any_extra",
    "bug": "return {}['x']",
}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with the commands above, named t-something."""
    info = tmp_path / "test_commands-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-commands\nVersion: 1\n")
    lines = ["[aio.commands]"]
    for name, body in BODIES.items():
        (tmp_path / f"aio_test_{name}.py").write_text(COMMAND.format(name=name, body=body))
        lines.append(f"t-{name} = aio_test_{name}")
    lines.append("t-missing = aio_test_missing:COMMAND")
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    for name in BODIES:
        sys.modules.pop(f"aio_test_{name}", None)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("good", 0, ""),
        ("seven", 7, ""),
        ("input", 2, "aio t-input: error: x=3: expected 4\n"),
        ("file", 2, "aio t-file: error: m.aio: is empty\n"),
        ("value", 2, "aio t-value: error: --n is 0, expected 1\n"),
        ("closed", 1, "aio t-closed: error: it was closed\n"),
        ("disk", 1, "aio t-disk: error: [Errno 28] No space left on device\n"),
        ("interrupt", 130, ""),
        (
            "sklearn",
            1,
            "aio t-sklearn: error: the module sklearn is missing: "
            "pip install 'aio-runtime[train]'\n",
        ),
        ("core", 1, "aio t-core: error: the module numpy is missing: pip install aio-runtime\n"),
    ],
)
def test_exit_codes_and_messages(
    name: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([f"t-{name}"]) == code
    captured = capsys.readouterr()
    assert captured.err == message
    assert captured.out == ("done\n" if name == "good" else "")


def test_defects_of_the_program_are_not_hidden() -> None:
    with pytest.raises(KeyError):
        cli.main(["t-bug"])
    with pytest.raises(ModuleNotFoundError, match="not_in_any_extra"):
        cli.main(["t-nowhere"])


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
        text = capsys.readouterr().out
        for name in BODIES:
            assert f"t-{name}" in text
        assert "help of good" in text
        assert "not available: No module named 'aio_test_missing'" in text
        for name in ("bench", "doctor", "infer", "info", "serve", "train"):
            assert f"\n  {name} " in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"aio {__version__}\n"
    assert __version__[0].isdigit()


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["fly"])
    assert stop.value.code == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bench", "doctor", "infer", "info", "serve", "train", "t-good"])
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: aio {name}" in text
    assert "examples:\n" in text


def test_serve_has_a_name_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.serve_main(["--help"])
    assert stop.value.code == 0
    assert "usage: aio-serve" in capsys.readouterr().out


def test_a_standard_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["t-good"]) == 0


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    (tmp_path / "aio_test_good.py").write_text(
        COMMAND.format(name="good", body="print('x' * 1_000_000); return 0")
    )
    code = "import sys; from aio.runtime.cli import main; sys.exit(main(['t-good']))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"x"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


def test_help_is_light() -> None:
    code = (
        "import sys; from aio.runtime.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'uvicorn', 'rich', 'aio.runtime._native') "
        "if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.endswith("\n[]\n")


def test_an_interrupt_while_commands_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.metadata, "entry_points", interrupted)
    assert cli.main(["t-good"]) == 130
    assert cli.serve_main([]) == 130
    assert capsys.readouterr() == ("", "")


def test_what_takes_long_to_load_is_loaded_where_interrupts_are_caught() -> None:
    code = "import sys, aio.runtime.cli; sys.exit('importlib.metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
