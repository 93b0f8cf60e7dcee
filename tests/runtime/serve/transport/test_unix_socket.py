# SPDX-License-Identifier: Apache-2.0
"""Unix sockets: permissions, what is in the way, and what is left behind."""

import fcntl
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from aio.runtime.errors import InputError
from aio.runtime.serve.transport import unix_socket
from aio.runtime.serve.transport.listen import url
from aio.runtime.serve.transport.unix_socket import MAX_PATH_BYTES, bind_unix


@pytest.fixture
def path() -> Iterator[Path]:
    """Yield a short path: pytest's folders are too deep for a socket."""
    with TemporaryDirectory(prefix="aio-") as folder:
        yield Path(folder) / "serve.sock"


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_permissions_do_not_depend_on_the_mask(path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        with bind_unix(path, mode) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert url(listener) == f"unix:{path}"
            assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_client_can_connect_at_once(path: Path) -> None:
    with bind_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.getpeername() == str(path)


def test_a_dead_servers_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    with bind_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.getpeername() == str(path)


def test_a_living_server_is_left_alone(path: Path) -> None:
    with bind_unix(path):
        with pytest.raises(InputError, match=r"is in use.*--unix-socket"):
            bind_unix(path)
        assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/nowhere")
    with pytest.raises(InputError, match="is no socket"):
        bind_unix(path)
    assert path.is_symlink() or path.exists()


def test_another_servers_file_is_not_removed(path: Path) -> None:
    with bind_unix(path):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_of_many_that_start_at_once_one_wins(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    won: list[socket.socket] = []
    lost: list[str] = []

    def start() -> None:
        try:
            won.append(bind_unix(path))
        except InputError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    won[0].close()
    assert not path.exists()


def test_a_path_that_is_too_long(path: Path) -> None:
    with pytest.raises(InputError, match=f"limit is {MAX_PATH_BYTES}; choose a shorter"):
        bind_unix(path.with_name("s" * 200))


def test_a_folder_that_is_not_there(path: Path) -> None:
    with pytest.raises(InputError, match=r"can't listen on .*No such file"):
        bind_unix(path / "deeper")


@pytest.mark.parametrize("mode", [-1, 0o1000])
def test_permissions_that_are_none(path: Path, mode: int) -> None:
    with pytest.raises(InputError, match="permissions must be 0 to 0777"):
        bind_unix(path, mode)


def test_a_folder_that_another_program_has_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_socket, "LOCK_S", 0.1)
    number = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_SH)
        with pytest.raises(InputError, match=r"has locked the folder /.* for 0.1 s; choose"):
            bind_unix(path)
        assert not path.exists()
        fcntl.flock(number, fcntl.LOCK_UN)
        with bind_unix(path):
            assert path.is_socket()
    finally:
        os.close(number)
