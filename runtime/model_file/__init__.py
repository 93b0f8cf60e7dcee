# SPDX-License-Identifier: Apache-2.0
"""The `.aio` model file: reading and checking, as docs/model-format.md describes it."""

from aio.runtime.model_file.later_ops import FORMAT_VERSION
from aio.runtime.model_file.manifest import (
    InputSpec,
    Level,
    Manifest,
    Node,
    OutputSpec,
)
from aio.runtime.model_file.reader import ModelFile, read_model_file
from aio.runtime.model_file.weights import LayerSummary, Weights

__all__ = [
    "FORMAT_VERSION",
    "InputSpec",
    "LayerSummary",
    "Level",
    "Manifest",
    "ModelFile",
    "Node",
    "OutputSpec",
    "Weights",
    "read_model_file",
]
