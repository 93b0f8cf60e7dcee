# SPDX-License-Identifier: Apache-2.0
"""The exported graph against the network, before it becomes a file."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aio.models.allinone import AllInOne
from aio.models.errors import ExportError
from aio.models.interpret import interpret_all
from aio.models.manifest import Model
from aio.models.outputs import named_results
from aio.models.trace import evaluating

# Relative to the largest answer. Both sides sum in float32; a wrong graph is off by far more.
_TOLERANCE = 1e-3


def check_answers(model: AllInOne, content: Model, examples: Sequence[Tensor]) -> None:
    """Compare every output of the graph with the network's at the densest and sparsest level.

    Raises:
        ExportError: they differ.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = [_samples(x[:1].detach(), generator) for x in examples]
    manifest = content.manifest()
    tensors = {name: torch.from_numpy(v).to(inputs[0]) for name, v in content.tensors().items()}
    levels = model.layer_levels
    try:
        with evaluating(model), torch.no_grad():
            for level in sorted({0, len(model.ratios) - 1}):
                model.set_level(level)
                expected = named_results(model(*(x.clone() for x in inputs))).values()
                found = interpret_all(manifest, tensors, inputs, level)
                for (name, answer), wanted in zip(found.items(), expected, strict=True):
                    _compare(answer, wanted, f"output {name!r} at level {level}")
    finally:
        model.set_layer_levels(levels)


def _samples(example: Tensor, generator: torch.Generator) -> Tensor:
    """Return the example and two disturbed ones, as an example may be all zeros.

    Three, while shapes were noted with another number: a graph must not hold the size of a batch.
    """
    noise = torch.rand((2, *example.shape[1:]), generator=generator)
    return torch.cat([example, example + noise.to(example)])


def _compare(found: Tensor, expected: Tensor, where: str) -> None:
    if found.shape != expected.shape:
        raise ExportError(
            f"the exported graph gives shape {tuple(found.shape)} for {where}, the network "
            f"{tuple(expected.shape)}"
        )
    error = float((found - expected).abs().max())
    if not error <= _TOLERANCE * float(expected.abs().max()):
        raise ExportError(
            f"the exported graph differs from the network by {error:g} in {where}; "
            "does its forward change a tensor in place that it uses again?"
        )
