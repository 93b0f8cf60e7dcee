# SPDX-License-Identifier: Apache-2.0
"""Reading a model file: every check in order, and one error type for all of them."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aio.runtime.errors import ModelFileError
from aio.runtime.model_file.container import read_container
from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.fields import Fields
from aio.runtime.model_file.manifest import Manifest, parse_manifest
from aio.runtime.model_file.ops import Shape
from aio.runtime.model_file.parameters import Parameters, collect_parameters
from aio.runtime.model_file.shapes import infer_shapes
from aio.runtime.model_file.weights import (
    LayerSummary,
    Weights,
    collect_weights,
    summarize,
    weight_shapes,
)


@dataclass(frozen=True)
class ModelFile:
    """A checked model file: what it says and the tensors it holds.

    `shapes` has every input and node by name, `weights` every layer, `layers` their counts in graph
    order, `parameters` the tensors of the other operators that can have any. Tensors are read-only.
    """

    path: Path
    manifest: Manifest
    shapes: Mapping[str, Shape]
    weights: Mapping[str, Weights]
    layers: tuple[LayerSummary, ...]
    parameters: Mapping[str, Parameters]
    size_bytes: int
    _data: memoryview = field(repr=False)

    @cached_property
    def content_hash(self) -> str:
        """Return the SHA-256 of the file's bytes as hexadecimal digits."""
        return hashlib.sha256(self._data).hexdigest()

    def nonzero_weights(self, level: int) -> int:
        """Return how many weights a level keeps, those of dense layers included."""
        return sum(layer.nonzero_weights[level] for layer in self.layers)

    def macs(self, level: int) -> int:
        """Return how many multiply-accumulates a level needs per sample."""
        return sum(layer.macs[level] for layer in self.layers)

    @property
    def prunable_weights(self) -> int:
        """Return the number of weights in layers that have scores."""
        return sum(layer.prunable_weights for layer in self.layers)


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read and check a `.aio` file as docs/model-format.md says.

    Raises:
        ModelFileError: it can't be read, or something in it is wrong; the message says what.
    """
    path = Path(path)
    name = str(path) if str(path).isprintable() else repr(str(path))
    try:
        return _read(path)
    except Defect as defect:
        raise ModelFileError(f"{name}: {defect}") from None
    except OSError as error:
        raise ModelFileError(f"{name}: {error.strerror or error}") from error


def _read(path: Path) -> ModelFile:
    container = read_container(path)
    metadata = Fields(dict(container.metadata), "__metadata__")
    if not metadata.has("format"):
        raise Defect("is a safetensors file but no model file: __metadata__ lacks the key 'format'")
    if (kind := metadata.take("format")) != "aio":
        raise Defect(f"__metadata__.format is {show(kind)}, expected 'aio'")
    text = metadata.take("manifest")
    metadata.finish()
    assert isinstance(text, str)
    manifest = parse_manifest(text)
    shapes = infer_shapes(manifest, weight_shapes(manifest, container.tensors))
    parameters, left = collect_parameters(manifest, container.tensors, shapes)
    weights = collect_weights(manifest, left)
    layers = summarize(manifest, weights, shapes)
    size, data = len(container.data), container.data
    return ModelFile(path, manifest, shapes, weights, layers, parameters, size, data)
