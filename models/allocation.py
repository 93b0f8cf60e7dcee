# SPDX-License-Identifier: Apache-2.0
"""How many blocks each layer keeps at each ratio.

An allocation is a plain function, so a global ranking or one that knows the measured cost of a
layer can take the place of `uniform` without a change elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence

from aio.models.masked import MaskedLayer

Allocation = Callable[
    [Mapping[str, MaskedLayer], Sequence[float]],
    Mapping[str, Sequence[int]],
]
"""From the prunable layers by name and the ratios to the kept blocks per layer and level."""


def uniform(
    layers: Mapping[str, MaskedLayer], ratios: Sequence[float]
) -> Mapping[str, Sequence[int]]:
    """Give every layer the same ratio."""
    return {name: [layer.blocks_at(ratio) for ratio in ratios] for name, layer in layers.items()}
