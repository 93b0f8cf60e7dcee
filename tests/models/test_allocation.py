# SPDX-License-Identifier: Apache-2.0
from collections.abc import Mapping, Sequence

from torch import nn

from aio.models.allinone import AllInOne
from aio.models.allocation import uniform
from aio.models.masked import MaskedLayer, MaskedLinear
from aio.models.zoo import digits_resnet


def test_uniform_gives_every_layer_the_ratio() -> None:
    layers: dict[str, MaskedLayer] = {
        "a": MaskedLinear(nn.Linear(100, 32), 3, 16),
        "b": MaskedLinear(nn.Linear(64, 16), 3, 16),
    }
    assert uniform(layers, (0.0, 0.5, 0.95)) == {"a": [200, 100, 10], "b": [64, 32, 3]}


def test_another_allocation_can_take_its_place() -> None:
    def first_layer_dense(
        layers: Mapping[str, MaskedLayer], ratios: Sequence[float]
    ) -> Mapping[str, Sequence[int]]:
        kept = dict(uniform(layers, ratios))
        first = next(iter(layers))
        return {**kept, first: [layers[first].score.numel()] * len(ratios)}

    model = AllInOne(digits_resnet(), (0.0, 0.9), allocation=first_layer_dense)
    first, second, *_ = model.masked_layers().values()
    assert first.kept_blocks() == [1296, 1296]
    assert second.kept_blocks() == [1296, 130]
