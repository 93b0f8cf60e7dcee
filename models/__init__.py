# SPDX-License-Identifier: Apache-2.0
"""Networks, All-in-One training and export.

One set of weights and one score per block represent every pruning ratio of a network. Names
are loaded on first use, so `import aio.models` and the listing of commands stay free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aio.models import zoo as zoo
    from aio.models.allinone import AllInOne as AllInOne
    from aio.models.errors import CheckpointError as CheckpointError
    from aio.models.errors import ExportError as ExportError
    from aio.models.errors import ModelError as ModelError

__all__ = ["AllInOne", "CheckpointError", "ExportError", "ModelError", "zoo"]

_HOMES = {
    "AllInOne": "aio.models.allinone",
    "CheckpointError": "aio.models.errors",
    "ExportError": "aio.models.errors",
    "ModelError": "aio.models.errors",
}


def __getattr__(name: str) -> Any:
    if name == "zoo":
        return import_module("aio.models.zoo")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
