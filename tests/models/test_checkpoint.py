# SPDX-License-Identifier: Apache-2.0
import hashlib
import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aio.models import CheckpointError
from aio.models.checkpoint import load_checkpoint, save_checkpoint
from aio.models.settings import TrainSettings

SETTINGS = TrainSettings(ratios=(0.0, 0.25), seed=7, epochs=3)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, SETTINGS, {"epoch": 2, "model": {"w": torch.arange(50.0)}})
    return path


def test_what_is_saved_is_loaded(checkpoint: Path) -> None:
    found, state = load_checkpoint(checkpoint)
    assert found == SETTINGS
    assert state["epoch"] == 2
    assert torch.equal(state["model"]["w"], torch.arange(50.0))


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*none\.pt"):
        load_checkpoint(tmp_path / "none.pt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.floats(0, 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(checkpoint: Path, place: float, change: int) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[int(place * (len(content) - 1))] ^= change
    damaged = checkpoint.with_name("damaged.pt")
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(damaged)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.floats(0, 0.999))
def test_any_truncation_is_noticed(checkpoint: Path, fraction: float) -> None:
    content = checkpoint.read_bytes()
    damaged = checkpoint.with_name("damaged.pt")
    damaged.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(CheckpointError, match=r"damaged|not a checkpoint"):
        load_checkpoint(damaged)


def archive(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"junk",
        pickle.dumps(print),
        archive(print),
        archive([1, 2]),
        archive({"settings": {"epochs": "many"}, "trainer": {}}),
    ],
    ids=["empty", "junk", "pickle", "code", "list", "settings"],
)
def test_forged_content_does_not_run(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "forged.pt"
    path.write_bytes(b"aio-checkpoint-1\n" + hashlib.sha256(payload).digest() + payload)
    with pytest.raises(CheckpointError, match="does not hold a run"):
        load_checkpoint(path)


def test_settings_that_no_run_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, SETTINGS, {})
    odd = TrainSettings()
    object.__setattr__(odd, "epochs", -1)
    save_checkpoint(path, odd, {})
    with pytest.raises(CheckpointError, match="epochs -1"):
        load_checkpoint(path)
