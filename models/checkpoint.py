# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the whole state of a run after an epoch, in one file that is replaced at once.

They are read with torch's restricted unpickler (`weights_only=True`), so a foreign file can't
run code, and a checksum tells a damaged file before its content is used.
"""

import hashlib
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from aio.models.errors import CheckpointError
from aio.models.files import replacing
from aio.models.settings import TrainSettings

_MAGIC = b"aio-checkpoint-1\n"
# What torch and the settings raise for content that is made up: the checksum was right, so damage
# is not the reason.
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_DIGEST_BYTES = hashlib.sha256().digest_size


def save_checkpoint(path: Path, settings: TrainSettings, trainer_state: dict[str, Any]) -> None:
    """Write a checkpoint, replacing the one before it."""
    buffer = io.BytesIO()
    torch.save({"settings": settings.to_dict(), "trainer": trainer_state}, buffer)
    payload = buffer.getvalue()
    with replacing(path) as file:
        file.write(_MAGIC)
        file.write(hashlib.sha256(payload).digest())
        file.write(payload)


def load_checkpoint(path: Path) -> tuple[TrainSettings, dict[str, Any]]:
    """Return the settings of a run and the state of its trainer.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or a newer program made it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}; start the run without --resume") from error
    if not content.startswith(_MAGIC):
        raise CheckpointError(f"{path} is not a checkpoint of this version of aio train")
    start = len(_MAGIC) + _DIGEST_BYTES
    digest, payload = content[len(_MAGIC) : start], content[start:]
    if hashlib.sha256(payload).digest() != digest:
        raise CheckpointError(f"{path} is damaged (wrong checksum); delete it and start again")
    if not zipfile.is_zipfile(io.BytesIO(payload)):
        raise CheckpointError(f"{path} does not hold a run that can be resumed: no torch archive")
    try:
        saved = torch.load(io.BytesIO(payload), weights_only=True)
        return TrainSettings.from_dict(saved["settings"]), saved["trainer"]
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} does not hold a run that can be resumed: {error}") from error
