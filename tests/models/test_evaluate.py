# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from aio.models import AllInOne, zoo
from aio.models.evaluate import accuracy_per_level, recalibrate
from aio.models.switchable import SwitchableBatchNorm


def test_recalibration_gives_the_exact_statistics_of_every_level() -> None:
    model = AllInOne(zoo.digits_resnet(), (0.0, 0.5, 0.9)).double().train()
    images = torch.rand(24, 1, 8, 8, dtype=torch.float64) * 16
    recalibrate(model, lambda: images.chunk(3))
    assert model.training
    second = model.net.get_submodule("layer1.0.bn1")
    assert isinstance(second, SwitchableBatchNorm)
    inputs: list[Tensor] = []
    second.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    for level in range(3):
        model.set_level(level)
        found = second.at(level).running_mean
        assert found is not None
        found = found.clone()
        # The batch norms before it run on the batches' statistics while calibrating, as here.
        with torch.no_grad():
            inputs.clear()
            for batch in images.chunk(3):
                model(batch)
        mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in inputs]).mean(dim=0)
        torch.testing.assert_close(found, mean)
        assert second.at(level).momentum == pytest.approx(0.1)


def test_accuracy_is_the_fraction_correct_at_each_level() -> None:
    model = AllInOne(zoo.digits_resnet(), (0.0, 0.9)).eval()
    images = torch.rand(10, 1, 8, 8) * 16
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
        labels[0] = (labels[0] + 1) % 10
        model.set_level(1)
        sparse = float((model(images).argmax(dim=1) == labels).float().mean())
    batches = [(images[:7], labels[:7]), (images[7:], labels[7:])]
    assert accuracy_per_level(model, lambda: batches) == [0.9, pytest.approx(sparse)]
    assert model.layer_levels == (0,) * len(model.layer_names)
