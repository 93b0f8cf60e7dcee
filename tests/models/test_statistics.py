# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from aio.models import AllInOne
from aio.models.evaluate import recalibrate
from aio.models.export import build_model
from aio.models.interpret import interpret
from aio.models.manifest import Model
from aio.models.statistics import correct_statistics, corrected_nodes


def content_of(model: AllInOne, x: Tensor) -> Model:
    return build_model(
        model.eval(),
        [x],
        name="net",
        metrics={},
        input_names=None,
        output_names=None,
        labels=(),
        provenance={},
    )


def answer(content: Model, x: Tensor, level: int) -> Tensor:
    tensors = {name: torch.from_numpy(values) for name, values in content.tensors().items()}
    with torch.no_grad():
        return interpret(content.manifest(), tensors, x, level)


def net(*, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3)]
    for _ in range(2):
        layers += [nn.BatchNorm2d(32)] * norm + [nn.ReLU(), nn.Conv2d(32, 32, 3)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(32, 4, 1))


def batches(x: Tensor) -> Iterator[Sequence[Tensor]]:
    yield [x[: len(x) // 2]]
    yield [x[len(x) // 2 :]]


def test_it_is_the_recalibration_of_batch_normalisation() -> None:
    layers = list(net(norm=False))
    named = nn.Sequential(
        layers[0], nn.BatchNorm2d(32), nn.ReLU(), layers[2], nn.BatchNorm2d(32), nn.ReLU(),
        layers[4], nn.BatchNorm2d(32), nn.ReLU(), layers[6],
    )  # fmt: skip
    model = AllInOne(named, (0.0, 0.6))
    x = torch.randn(32, 3, 12, 12)
    recalibrate(model, lambda: [x])  # so that level 0 has the statistics of these very images
    expected = answer(content_of(model, x[:2]), x, 1)
    with torch.no_grad():
        for name, value in model.state_dict().items():  # level 1 knows nothing any more
            if ".by_level.1." in name and value.is_floating_point():
                value.copy_(model.state_dict()[name.replace(".by_level.1.", ".by_level.0.")])
    content = content_of(model, x[:2])
    assert not torch.allclose(answer(content, x, 1), expected, atol=1e-2)
    correct_statistics(content, lambda: iter([[x]]), [1])
    assert torch.allclose(answer(content, x, 1), expected, atol=2e-3)


def test_a_network_without_normalisation_is_nearer_to_its_dense_self() -> None:
    model = AllInOne(net(norm=False), (0.0, 0.8))
    x = torch.randn(64, 3, 12, 12) + 0.5
    content = content_of(model, x[:2])
    dense, before = answer(content, x, 0), answer(content, x, 1)
    correct_statistics(content, lambda: batches(x), [1])
    after = answer(content, x, 1)
    assert torch.equal(answer(content, x, 0), dense)
    assert (after - dense).square().mean() < 0.7 * (before - dense).square().mean()
    assert len(corrected_nodes(content)) == 2  # the pruned ones; the ends stay


def test_a_channel_that_lost_everything_gives_its_mean() -> None:
    model = AllInOne(net(norm=False), (0.0, 0.5))
    layer = next(iter(model.masked_layers().values()))
    with torch.no_grad():
        layer.score[0] = -torch.rand(32, 3, 3)  # the first block of channels goes first
    model.update_thresholds()
    x = torch.randn(32, 3, 12, 12)
    content = content_of(model, x[:2])
    correct_statistics(content, lambda: batches(x), [1])
    assert all(
        torch.isfinite(torch.from_numpy(v)).all()
        for n, v in content.tensors().items()
        if not n.endswith("threshold")
    )
    assert torch.isfinite(answer(content, x, 1)).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_mean_and_deviation_are_those_of_the_dense_level(sign: float) -> None:
    model = AllInOne(
        nn.Sequential(
            nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.Conv2d(32, 2, 1)
        ),
        (0.0, 0.9),
    )
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "by_level" in name and name.endswith("weight"):
                value.fill_(sign)
    x = torch.randn(40, 3, 8, 8)
    content = content_of(model, x[:2])
    content.outputs = [type(content.outputs[0])("output", content.nodes[1].name)]
    correct_statistics(content, lambda: batches(x), [1])
    dense, sparse = answer(content, x, 0), answer(content, x, 1)
    for moment in (torch.Tensor.mean, torch.Tensor.std):
        assert torch.allclose(moment(dense, (0, 2, 3)), moment(sparse, (0, 2, 3)), atol=1e-3)
