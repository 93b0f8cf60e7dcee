# SPDX-License-Identifier: Apache-2.0
"""Reading a model file: every check in order, and one error type for all of them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aio.runtime.errors import ModelFileError
from aio.runtime.model_file.container import open_container
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

    `shapes` has every input and node by name, `weights` every layer until they are taken, `layers`
    their counts in graph order, `parameters` the tensors of the other operators that can have any.
    Tensors are read-only. `content_hash` is the SHA-256 of the file's bytes as hexadecimal digits.
    """

    path: Path
    manifest: Manifest
    shapes: Mapping[str, Shape]
    weights: dict[str, Weights]
    layers: tuple[LayerSummary, ...]
    parameters: Mapping[str, Parameters]
    size_bytes: int
    content_hash: str

    def take_weights(self) -> dict[str, Weights]:
        """Return `weights` and leave none, so that their memory goes with the caller's last use."""
        taken = dict(self.weights)
        self.weights.clear()
        return taken

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
    with open_container(path) as container:
        manifest = _manifest(container.metadata)
        shapes = infer_shapes(manifest, weight_shapes(manifest, container.shapes))
        tensors, content_hash = container.read_tensors()
    parameters, left = collect_parameters(manifest, tensors, shapes)
    weights = collect_weights(manifest, left)
    layers = summarize(manifest, weights, shapes)
    size = container.size_bytes
    return ModelFile(path, manifest, shapes, weights, layers, parameters, size, content_hash)


def _manifest(texts: Mapping[str, str]) -> Manifest:
    metadata = Fields(dict(texts), "__metadata__")
    if not metadata.has("format"):
        raise Defect("is a safetensors file but no model file: __metadata__ lacks the key 'format'")
    if (kind := metadata.take("format")) != "aio":
        raise Defect(f"__metadata__.format is {show(kind)}, expected 'aio'")
    text = metadata.take("manifest")
    metadata.finish()
    assert isinstance(text, str)
    return parse_manifest(text)
