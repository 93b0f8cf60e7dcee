# SPDX-License-Identifier: Apache-2.0
"""What the tests of training and export share."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

Contents = tuple[dict[str, Any], dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Give every test the same random numbers, whatever ran before it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tensors here are tiny, and threads that wait for each other would slow other tests down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def read_model() -> Callable[[Path], Contents]:
    """Return a function that reads manifest and tensors back from a model file."""

    def read(path: Path) -> Contents:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert metadata["format"] == "aio"
        return json.loads(metadata["manifest"]), tensors

    return read
