# SPDX-License-Identifier: Apache-2.0
"""Networks of the user's own code, named like an entry point: `package.module:function`."""

import importlib
import sys
from pathlib import Path

from torch import nn

from aio.models.errors import ModelError


def is_place(name: str) -> bool:
    """Tell whether the name of a network is a place in the user's code."""
    return ":" in name


def imported_network(place: str) -> nn.Module:
    """Return what a function of no arguments, or a class, makes.

    Modules are looked for where Python looks, and first in the working directory.

    Args:
        place: `package.module:function`.

    Raises:
        ModelError: there is no such module or function, it fails, or makes no network.
    """
    module_name, _, function_name = place.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, SyntaxError) as error:
        raise ModelError(
            f"--network {place}: {module_name!r} can't be imported: {error}"
        ) from error
    make = getattr(module, function_name, None)
    if not callable(make):
        raise ModelError(f"--network {place}: {module_name} has no function {function_name!r}")
    try:
        net = make()
    except TypeError as error:
        raise ModelError(f"--network {place}: it has to work without arguments: {error}") from error
    if not isinstance(net, nn.Module):
        raise ModelError(f"--network {place} returns {type(net).__name__}, not a torch.nn.Module")
    return net
