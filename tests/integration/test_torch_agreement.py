# SPDX-License-Identifier: Apache-2.0
"""`Runtime.infer` equals the torch module at every level, through the file and the kernels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import Plan, RandomNetwork, plans, sample
from torch import nn

from aio.models import AllInOne, zoo
from aio.models.outputs import named_results
from aio.models.selection import Layer, find_layers
from aio.models.switchable import SwitchableBatchNorm
from aio.models.trace import trace
from aio.runtime import Runtime, _native, native_info
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import read_model_file

RATIOS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
# Relative to the largest answer. Both sides add up some 4,000 float32 products in their own order.
TOLERANCE = 2e-5


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Keep threads of torch from waiting for each other: most tensors here are tiny."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Odd(nn.Module):
    """Sizes that fit no tile: odd channels, rectangular kernels, dilation, strides, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 19, (3, 5), padding=(1, 2))
        self.second = nn.Conv2d(19, 37, 3, stride=(2, 3), padding=2, dilation=2)
        self.third = nn.Conv2d(37, 37, 1, bias=False)
        self.bn = nn.BatchNorm2d(37)
        self.average = nn.AvgPool2d(2, stride=1, padding=1)
        self.hidden = nn.Linear(37 * 10 * 7, 45)
        self.last = nn.Linear(45, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.hardswish(self.first(x))
        x = nn.functional.relu6(self.second(x))
        x = self.bn(self.third(x)) + x
        x = self.average(torch.relu(x))
        result: torch.Tensor = self.last(torch.relu(self.hidden(x.flatten(1))))
        return result


def like_trained(
    net: nn.Module, ratios: tuple[float, ...] = RATIOS, block_height: int = 16
) -> AllInOne:
    """Return the network with levels that differ in masks and in batch normalisation."""
    model = AllInOne(net, ratios, block_height=block_height)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, SwitchableBatchNorm):
                for level in range(len(ratios)):
                    norm = module.at(level)
                    assert norm.running_mean is not None
                    assert norm.running_var is not None
                    norm.running_mean.normal_(0, 0.2)
                    norm.running_var.uniform_(0.5, 2.0)
        for layer in model.masked_layers().values():
            layer.score.uniform_()
    model.update_thresholds()
    return model.eval()


class Grouped(nn.Module):
    """Groups of all kinds: depthwise, wider and narrower than a block, a channel multiplier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 9, 3, padding=1, groups=3)
        self.expand = nn.Conv2d(9, 48, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(48)
        self.depthwise = nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False)
        self.bn2 = nn.BatchNorm2d(48)
        self.whole = nn.Conv2d(48, 64, 3, stride=2, padding=1, groups=2, bias=False)
        self.bn3 = nn.BatchNorm2d(64)
        self.odd = nn.Conv2d(64, 88, 3, padding="same", dilation=2, groups=8)
        self.multiplier = nn.Conv2d(88, 264, (5, 1), groups=88)
        self.last = nn.Linear(264, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(self.bn1(self.expand(self.first(x))))
        x = nn.functional.relu6(self.bn2(self.depthwise(x)) + x)
        x = torch.relu(self.bn3(self.whole(x)))
        x = nn.functional.hardswish(self.multiplier(self.odd(x)))
        result: torch.Tensor = self.last(x.mean((2, 3)))
        return result


def resnet18() -> nn.Module:
    return zoo.resnet18(num_classes=100)


def mobilenet_v2() -> nn.Module:
    return zoo.mobilenet_v2(num_classes=100)


@pytest.mark.parametrize("block_height", [16, 8])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (Odd, (2, 3, 17, 16)),
        (Grouped, (2, 3, 17, 16)),
        (zoo.digits_resnet, (5, 1, 8, 8)),
        (resnet18, (1, 3, 64, 64)),
        (mobilenet_v2, (1, 3, 64, 64)),
    ],
)
def test_every_level(
    make: Callable[[], nn.Module], shape: tuple[int, ...], block_height: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = like_trained(make(), block_height=block_height)
    x = torch.randn(shape)
    model.export(tmp_path / "model.aio", x)
    for isa in native_info()["isa_found"]:
        with Runtime.load(tmp_path / "model.aio", isa=isa, calibrate=False) as runtime:
            worst = max(error_at(level, model, x, runtime) for level in range(len(RATIOS)))
        print(
            f"{make.__name__}, blocks of {block_height}, {isa}: {worst:.1e} of the largest answer"
        )  # shown by -rP
        assert worst < TOLERANCE


@pytest.mark.parametrize(
    "make",
    [
        zoo.resnet34,
        zoo.resnet50,
        zoo.mobilenet_v3_large,
        zoo.efficientnet_b0,
        zoo.densenet121,
    ],
)
def test_larger_networks(make: Callable[[int], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = like_trained(make(100))
    x = torch.randn(1, 3, 64, 64)
    model.export(tmp_path / "model.aio", x)
    with Runtime.load(tmp_path / "model.aio", threads=2, calibrate=False) as runtime:
        worst = max(error_at(level, model, x, runtime) for level in range(len(RATIOS)))
        print(f"{make.__name__}, {runtime.isa}: {worst:.1e} of the largest answer")  # shown by -rP
    assert worst < TOLERANCE


def test_vgg16_bn(tmp_path: Path) -> None:
    """At its own size, below which it repeats pixels; with narrower linear layers, for time."""
    torch.manual_seed(0)
    net = zoo.vgg16_bn(num_classes=10)
    net.classifier = nn.Sequential(nn.Linear(25_088, 64), nn.ReLU(), nn.Linear(64, 10))
    model = like_trained(net)
    x = torch.randn(1, 3, 224, 224)
    model.export(tmp_path / "model.aio", x)
    with Runtime.load(tmp_path / "model.aio", threads=2, calibrate=False) as runtime:
        worst = max(error_at(level, model, x, runtime) for level in range(len(RATIOS)))
    print(f"vgg16_bn: {worst:.1e} of the largest answer")  # shown by -rP
    assert worst < TOLERANCE


def error_at(level: int, model: AllInOne, x: torch.Tensor, runtime: Runtime) -> float:
    """Return the largest difference, relative to the largest answer."""
    model.set_level(level)
    with torch.no_grad():
        expected = model(x).numpy()
    answer = runtime.infer(x.numpy(), level=level)
    assert answer.shape == expected.shape
    return float(np.abs(answer - expected).max() / np.abs(expected).max())


class Around(nn.Module):
    """A layer between two others, behind which it is not the first or last."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, layer.in_channels, 1)
        self.layer = layer
        self.bn = nn.BatchNorm2d(layer.out_channels)
        self.wide = nn.Conv2d(layer.out_channels, 1024, 1, bias=False)
        self.last = nn.Conv2d(1024, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(self.bn(self.layer(self.first(x))))
        result: torch.Tensor = self.last(torch.relu(self.wide(x)))
        return result


@st.composite
def grouped_layers(draw: st.DrawFn) -> nn.Conv2d:
    groups = draw(st.integers(1, 24))
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    return nn.Conv2d(
        groups * draw(st.integers(1, 5)),
        groups * draw(st.sampled_from([1, 1, 2, 3, 16, 17, 32])),
        draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        stride=draw(pairs),
        padding=draw(st.sampled_from([(0, 0), (1, 2), (3, 1)])),
        dilation=draw(pairs),
        groups=groups,
        bias=draw(st.booleans()),
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    layer=grouped_layers(),
    height=st.sampled_from([16, 8]),
    size=st.tuples(st.integers(13, 20), st.integers(13, 20)),
)
def test_any_groups(layer: nn.Conv2d, height: int, size: tuple[int, int], tmp_path: Path) -> None:
    model = like_trained(Around(layer), block_height=height)
    x = torch.randn(2, 2, *size)
    path = tmp_path / "model.aio"
    model.export(path, x)
    for isa in native_info()["isa_found"]:
        with Runtime.load(path, isa=isa, calibrate=False) as runtime:
            assert max(error_at(level, model, x, runtime) for level in range(7)) < TOLERANCE


class _Errors:
    """The largest error of the random networks, relative to each output's largest answer."""

    def __init__(self) -> None:
        self.worst = 0.0

    def check(self, found: np.ndarray, single: torch.Tensor, exact: torch.Tensor) -> None:
        """Hold an answer to the tolerance, or to what torch's own float32 makes of it.

        Normalisation of nearly equal numbers divides rounding errors by their deviation.
        """
        assert found.shape == tuple(exact.shape)
        largest = float(exact.abs().max())
        error = float(np.abs(found - exact.numpy()).max())
        assert error <= max(TOLERANCE * largest, 8 * float((single - exact).abs().max()))
        self.worst = max(self.worst, error / largest if largest else 0.0)


def test_random_networks(tmp_path: Path) -> None:
    """200 networks out of every operator, each at every level and at random levels per layer."""
    path, errors = tmp_path / "model.aio", _Errors()
    generator = torch.Generator().manual_seed(0)

    @settings(
        max_examples=200,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        plan=plans(),
        batch=st.integers(1, 3),
        isa=st.sampled_from(native_info()["isa_found"]),
        threads=st.integers(1, 2),
    )
    def agrees(plan: Plan, batch: int, isa: str, threads: int) -> None:
        torch.manual_seed(plan.seed)
        model = like_trained(RandomNetwork(plan), (0.0, 0.6, 0.9)).eval()
        exact = copy.deepcopy(model).double()
        layers = find_layers(trace(RandomNetwork(plan)), lambda _: 16)
        inputs = sample(plan, batch)
        model.export(path, inputs)
        executor = build_executor(read_model_file(path), threads=threads, isa=isa)
        mixed = torch.randint(3, (len(model.layer_names),), generator=generator).tolist()
        for levels in (*([level] * len(mixed) for level in range(3)), mixed):
            model.set_layer_levels(levels)
            exact.set_layer_levels(levels)
            executor.set_layer_levels(levels_of_steps(executor, model, layers))
            with torch.no_grad():
                single = named_results(model(*inputs)).values()
                double = named_results(exact(*(x.double() for x in inputs))).values()
            found = executor.run([x.numpy() for x in inputs])
            for answer, one, two in zip(found, single, double, strict=True):
                errors.check(answer, one, two)

    agrees()
    print(f"random networks: {errors.worst:.1e} of the largest answer")  # shown by -rP


def levels_of_steps(executor: _native.Executor, model: AllInOne, layers: list[Layer]) -> list[int]:
    """Return the level of every step of the executor; those without a layer's name take any."""
    by_layer = dict(zip(model.layer_names, model.layer_levels, strict=True))
    by_name = {
        name: by_layer[layer.name]
        for layer in layers
        if layer.name in by_layer
        for name in (layer.name, *layer.batch_norms)
    }
    names = [step["name"] for step in executor.layers()]
    missing = set(model.masked_layers()) - set(names)
    assert not missing
    return [by_name.get(name, 0) for name in names]
