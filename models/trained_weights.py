# SPDX-License-Identifier: Apache-2.0
"""Weights of a dense network that was trained elsewhere: a state dict that torch has saved."""

import pickle
import zipfile
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from aio.models import zoo
from aio.models.errors import CheckpointError
from aio.models.imported import imported_network, is_place

_UNREADABLE = (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile)


def load_network(path: Path, name: str, channels_in: int) -> nn.Module:
    """Return a network of the zoo, or of the user's code, with the weights of a state dict.

    Raises:
        CheckpointError: the file is none, or its names or shapes are not this network's.
    """
    state = read_state_dict(path)
    if is_place(name):
        net = imported_network(name)
    else:
        net = zoo.network(name, _classes(state, path, name), channels_in)
    _load(net, state, f"{path} is not of {name}")
    return net.eval()


def load_weights(net: nn.Module, path: Path) -> list[str]:
    """Put the weights of a state dict into a network, but for a classifier of other classes.

    Returns:
        Names of the classifier's parameters that stay as they are, none if it fits.

    Raises:
        CheckpointError: the file is none, or its names or shapes are not this network's.
    """
    state = read_state_dict(path)
    wanted = net.state_dict()
    linear = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    classifier = [f"{linear[-1]}.{part}" for part in ("weight", "bias")] if linear else []
    both = wanted.keys() & state.keys()
    own = [key for key in classifier if key in both and state[key].shape != wanted[key].shape]
    _load(net, state | {key: wanted[key] for key in own}, f"{path} is not of this network")
    return own


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read weights with torch's restricted unpickler, and unwrap what training scripts add.

    Raises:
        CheckpointError: the file holds no names and tensors.
    """
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        # torch's own text advises to read the file without restrictions.
        raise CheckpointError(
            f"{path} can't be read as a state dict: it is no file of torch.save, or damaged, or "
            "holds more than tensors; a whole pickled network is refused because it could run "
            "code, save its state_dict()"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise CheckpointError(f"{path} holds no state dict: names and tensors")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


def _load(net: nn.Module, state: dict[str, Tensor], complaint: str) -> None:
    wanted = net.state_dict()
    missing = [key for key in wanted if key not in state]
    unknown = [key for key in state if key not in wanted]
    if missing or unknown:
        raise CheckpointError(
            f"{complaint}: {len(missing)} of {len(wanted)} names missing, {len(unknown)} not known "
            f"({', '.join(_examples(missing, unknown))})"
        )
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise CheckpointError(
                f"{complaint}: {key} has shape {tuple(value.shape)}, not {tuple(wanted[key].shape)}"
            )
    net.load_state_dict(state)


def _examples(missing: Collection[str], unknown: Collection[str]) -> list[str]:
    examples = [f"{key!r} is missing" for key in list(missing)[:2]]
    return examples + [f"{key!r} is not known" for key in list(unknown)[:2]]


def _classes(state: dict[str, Tensor], path: Path, name: str) -> int:
    """Return the classes that the last linear layer of a state dict tells apart."""
    matrices = [value for value in state.values() if value.ndim == 2]
    if not matrices:
        raise CheckpointError(f"{path} has no linear layer, the classifier of {name} is one")
    return int(matrices[-1].shape[0])
