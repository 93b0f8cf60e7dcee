# SPDX-License-Identifier: Apache-2.0
"""One converter per operator a model file knows; importing a module here registers its own."""

from aio.models.operators import (
    arithmetic,
    elementwise,
    layers,
    norms,
    pooling,
    resampling,
    shape,
)
from aio.models.operators.registry import convert

__all__ = [
    "arithmetic",
    "convert",
    "elementwise",
    "layers",
    "norms",
    "pooling",
    "resampling",
    "shape",
]
