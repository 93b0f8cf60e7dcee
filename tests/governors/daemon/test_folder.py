# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from aio.governors.daemon.folder import boot_id, client_dirs, make_runtime_dir, runtime_dir
from aio.governors.sysfs import Sysfs


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIO_RUNTIME_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_dir() == tmp_path / "aio"
    monkeypatch.setenv("AIO_RUNTIME_DIR", "relative")
    assert runtime_dir() == Path.cwd() / "relative"
    assert client_dirs() == (Path.cwd() / "relative",)


@pytest.mark.parametrize(
    ("uid", "expected"), [(0, "/run/aio"), (1234, f"{tempfile.gettempdir()}/aio-1234")]
)
def test_without_variables(uid: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert runtime_dir() == Path(expected)
    assert client_dirs()[-1] == Path("/run/aio")
    assert len(client_dirs()) == (1 if uid == 0 else 2)


@pytest.mark.parametrize(("uid", "mode"), [(0, 0o755), (1234, 0o700)])
def test_folders_are_made(
    tmp_path: Path, uid: int, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "a/b"
    owner = os.geteuid()
    answers = iter((uid, owner))
    monkeypatch.setattr(os, "geteuid", lambda: next(answers))
    make_runtime_dir(made)
    assert made.stat().st_mode & 0o777 == mode


def test_no_temporary_folder_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("AIO_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert client_dirs() == (Path("/tmp/aio-1234"), Path("/run/aio"))


def test_folders_of_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_runtime_dir(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match=r"mode 777: others could forge"):
        make_runtime_dir(tmp_path)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 999_999)
    with pytest.raises(PermissionError, match="set AIO_RUNTIME_DIR"):
        make_runtime_dir(tmp_path)


def test_links_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError, match="is no folder"):
        make_runtime_dir(link)


def test_boot_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(boot_id()) == 16
    monkeypatch.setattr(Sysfs, "read_optional", lambda *_: None)
    assert boot_id() == bytes(16)
