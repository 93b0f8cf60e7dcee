# SPDX-License-Identifier: Apache-2.0
"""`aio bench` in a process of its own: what training knows of the runtime is its command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from aio.models.errors import ModelError


def bench(model: Path, *options: str) -> dict[str, Any]:
    """Return the JSON of `aio bench MODEL`.

    Raises:
        ModelError: it fails; the message is its own.
    """
    command = [sys.executable, "-m", "aio.runtime.cli", "bench", str(model), *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelError(f"aio bench {model} failed: {done.stderr.strip()}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def accuracy(
    model: Path, images: Tensor, labels: Tensor, scratch: Path, mixed: int = 0
) -> dict[str, Any]:
    """Return what the executor gets right of labelled images: see `aio bench --accuracy`.

    Args:
        model: model file.
        images: as the model takes them.
        labels: their classes.
        scratch: file for the images, which is removed again.
        mixed: number of random plans that mix two adjacent levels.
    """
    try:
        with scratch.open("wb") as file:
            np.savez(file, images=images.numpy(), labels=labels.numpy())
        return bench(model, "--accuracy", str(scratch), "--mixed", str(mixed))
    finally:
        scratch.unlink(missing_ok=True)
