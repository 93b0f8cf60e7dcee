# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from aio.models.allinone import AllInOne
from aio.models.allocation import allocation, read_costs, uniform
from aio.models.errors import ModelError
from aio.models.masked import MaskedLayer, MaskedLinear
from aio.models.settings import ALLOCATIONS
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


class Net(nn.Sequential):
    """A wide and a narrow convolution between dense ends."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 3),
            nn.Conv2d(32, 64, 3),
            nn.Conv2d(64, 40, 1),
            nn.Conv2d(40, 64, 3),
            nn.Conv2d(64, 8, 1),
        )


COSTS = {"1": 1.0, "2": 5.0, "3": 0.5}
RATIOS = (0.0, 0.3, 0.5, 0.9, 0.95)


@pytest.mark.parametrize("name", ALLOCATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_every_allocation_meets_the_ratio_and_nests(name: str, seed: int) -> None:
    print(f"seed {seed}")
    torch.manual_seed(seed)
    model = AllInOne(Net(), RATIOS, allocation=allocation(name, COSTS))
    with torch.no_grad():
        for layer in model.masked_layers().values():
            layer.score.normal_(1.0, 2.0)  # some below zero
    model.update_thresholds()
    for ratio, kept in zip(RATIOS, model.kept_weights(), strict=True):
        layers = model.masked_layers()
        slack = 16 * len(layers)
        assert abs(kept - (1 - ratio) * model.prunable_weights()) <= slack
    for layer in model.masked_layers().values():
        kept_blocks = layer.kept_blocks()
        assert kept_blocks == sorted(kept_blocks, reverse=True)
        assert kept_blocks[0] == layer.score.numel()
        assert kept_blocks[-1] >= 1


def kept_parts(name: str) -> dict[str, float]:
    model = AllInOne(Net(), (0.0, 0.8), allocation=allocation(name, COSTS))
    layers = model.masked_layers()
    return {key: layer.kept_blocks()[1] / layer.score.numel() for key, layer in layers.items()}


def test_erk_keeps_more_of_small_layers() -> None:
    parts = kept_parts("erk")
    assert parts["2"] > parts["1"]
    assert parts["2"] > parts["3"]


def test_cost_keeps_less_of_what_takes_longer() -> None:
    parts, without = kept_parts("cost"), kept_parts("global")
    assert parts["2"] < without["2"]
    assert parts["3"] > without["3"]


def test_costs_are_read_from_what_the_benchmark_writes(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    layer = {"name": "a", "density": 1.0, "latency_ms": {"median": 2.5}}
    pool = {"name": "p", "density": None, "latency_ms": {"median": 1.0}}
    levels = [{"level": 0, "layers": [layer, pool]}]
    path.write_text(json.dumps({"results": [{"threads": 1, "levels": levels}]}))
    assert read_costs(path) == {"a": 2.5}
    path.write_text('{"a": 1, "b": 2.5}')
    assert read_costs(path) == {"a": 1.0, "b": 2.5}


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"results": []}', '{"a": "x"}', '{"a": 0}'])
def test_costs_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "costs.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"costs.json"):
        read_costs(path)


def test_a_layer_without_a_cost_is_named() -> None:
    with pytest.raises(ModelError, match="no cost of layer '1'"):
        AllInOne(Net(), (0.0, 0.5), allocation=allocation("cost", {"2": 1.0, "3": 1.0}))
