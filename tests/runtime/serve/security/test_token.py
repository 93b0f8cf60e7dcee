# SPDX-License-Identifier: Apache-2.0
"""Token files that are fine, weak, open to others, or not files; and what is let in."""

import hmac
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.errors import InputError
from aio.runtime.serve.security import token as module
from aio.runtime.serve.security.token import Token
from aio.runtime.serve.security.token_file import (
    MAX_CHARACTERS,
    MAX_FILE_BYTES,
    MAX_TOKENS,
)

GOOD = "a" * 32
OTHER = "Zz9-._~+/" * 3 + "=="


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.mark.parametrize("text", [GOOD, f"{GOOD}\n", f"{GOOD}\r\n", f"\n# app\n  {GOOD}  \n\n"])
def test_one_token(path: Path, text: str) -> None:
    token = Token.read(write(path, text))
    assert token.count == 1
    assert token.matches(GOOD.encode())


def test_any_of_several_matches(path: Path) -> None:
    token = Token.read(write(path, f"{GOOD}\n{OTHER}\n"))
    assert token.count == 2
    assert token.matches(GOOD.encode())
    assert token.matches(OTHER.encode())


@pytest.mark.parametrize(
    "presented",
    [
        b"",
        b"a",
        GOOD[:-1].encode(),
        f"{GOOD}a".encode(),
        f"{GOOD}\n".encode(),
        GOOD.upper().encode(),
    ],
)
def test_almost_is_not_enough(path: Path, presented: bytes) -> None:
    assert not Token.read(write(path, GOOD)).matches(presented)


@given(presented=st.binary(max_size=MAX_CHARACTERS * 2))
def test_no_other_bytes_match(presented: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "token"
    if not path.exists():
        write(path, GOOD)
    assert Token.read(path).matches(presented) == (presented == GOOD.encode())


def test_every_token_is_compared_in_constant_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(module, "hmac", type("hmac", (), {"compare_digest": staticmethod(compare)}))
    token = Token.read(write(path, f"{GOOD}\n{OTHER}\n"))
    for presented in (GOOD, OTHER, "x", "x" * 300):
        compared.clear()
        token.matches(presented.encode())
        assert compared == [(32, 32), (32, 32)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no token"),
        ("\n \n# nothing\n", "holds no token"),
        ("short", "line 1 .* 5 characters; expected 16 to 512"),
        (f"{GOOD}\nshort\n", "line 2"),
        ("x" * (MAX_CHARACTERS + 1), "513 characters"),
        ("two words that are long", "no header can carry"),
        ("pässword-pässword-pässword", "no header can carry"),
        (b"\0" * 40, "no header can carry"),
        (f"{GOOD}\n" * (MAX_TOKENS + 1), "17 tokens; expected at most 16"),
        ("#" * (MAX_FILE_BYTES + 1), "more than 16384 bytes"),
    ],
)
def test_what_the_file_may_not_hold(path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Token.read(write(path, text))
    assert "pässword" not in str(caught.value)
    assert "two words" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o660, 0o777])
def test_others_may_not_read_or_change_it(path: Path, mode: int) -> None:
    with pytest.raises(InputError, match=rf"mode {mode:04o}.*chmod 600"):
        Token.read(write(path, GOOD, mode))


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_the_owner_may(path: Path, mode: int) -> None:
    assert Token.read(write(path, GOOD, mode)).count == 1


def stat_of(uid: int, mode: int) -> os.stat_result:
    return os.stat_result((0o100000 | mode, 1, 1, 1, uid, 0, 10, 0, 0, 0))


@pytest.mark.parametrize(
    ("uid", "mode", "allowed"),
    [
        (0, 0o440, True),  # a Kubernetes secret with fsGroup
        (0, 0o640, True),
        (0, 0o400, True),
        (0, 0o444, False),
        (0, 0o660, False),
        (1000, 0o400, True),
        (1000, 0o440, False),
        (1001, 0o400, False),
    ],
)
def test_root_may_lend_it_to_the_group_of_a_service(
    monkeypatch: pytest.MonkeyPatch, path: Path, uid: int, mode: int, allowed: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if allowed:
        module._check_access(path, stat_of(uid, mode))
        assert uid in {0, 1000}
    else:
        with pytest.raises(InputError, match=r"mode|belongs to user 1001"):
            module._check_access(path, stat_of(uid, mode))


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(InputError, match="not a regular file"):
        Token.read(pipe)
    with pytest.raises(InputError, match="not a regular file"):
        Token.read(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        Token.read(tmp_path / "missing")


def test_a_link_is_followed_as_secrets_are_mounted_by_links(tmp_path: Path, path: Path) -> None:
    write(tmp_path / "data", GOOD)
    path.symlink_to("data")
    assert Token.read(path).matches(GOOD.encode())


def test_a_changed_file_is_taken(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = Token.read(write(path, GOOD))
    token.refresh()
    assert caplog.messages == []
    write(path.with_name("new"), OTHER).replace(path)
    token.refresh()
    assert not token.matches(GOOD.encode())
    assert token.matches(OTHER.encode())
    assert caplog.messages == [f"took 1 tokens from {path}"]
    assert OTHER not in caplog.text


@pytest.mark.parametrize("broken", ["", "short", None])
def test_a_file_that_went_bad_leaves_the_tokens(
    path: Path, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    token = Token.read(write(path, GOOD))
    if broken is None:
        path.unlink()
    else:
        write(path, broken)
    with caplog.at_level(logging.ERROR):
        token.refresh()
    assert token.matches(GOOD.encode())
    assert not token.matches(b"")
    assert "the tokens stay as they were" in caplog.text
    write(path, OTHER)
    token.refresh()
    assert token.matches(OTHER.encode())
