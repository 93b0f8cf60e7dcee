# SPDX-License-Identifier: Apache-2.0
"""One converter per operator a model file knows; importing a module here registers its own."""

from aio.models.operators import elementwise, layers, pooling, shape
from aio.models.operators.registry import convert

__all__ = ["convert", "elementwise", "layers", "pooling", "shape"]
