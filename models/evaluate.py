# SPDX-License-Identifier: Apache-2.0
"""Re-calibrated statistics and held-out accuracy of every level."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from aio.models.supernet import Supernet
from aio.models.switchable import SwitchableBatchNorm
from aio.models.trace import evaluating


def recalibrate(model: Supernet, batches: Callable[[], Iterable[Tensor]]) -> None:
    """Replace the batch-norm statistics of every level by exact averages over some images.

    In training a level's running statistics lag behind the weights, the more so the more
    seldom the level was drawn; without this the intermediate levels would be judged unfairly.

    Args:
        model: the network; its level is 0 afterwards.
        batches: called once per level, gives the same images each time.
    """
    for level in range(len(model.ratios)):
        model.set_level(level)
        norms = [m.at(level) for m in model.modules() if isinstance(m, SwitchableBatchNorm)]
        if not norms:
            break  # nothing to measure
        _recalibrate_level(model, norms, batches())
    model.set_level(0)


def _recalibrate_level(model: Supernet, norms: list[_BatchNorm], batches: Iterable[Tensor]) -> None:
    momenta = [norm.momentum for norm in norms]
    with evaluating(model), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's way to ask for the plain average
            norm.train()
        for images in batches:
            model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def accuracy_per_level(
    model: Supernet, batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]
) -> list[float]:
    """Return the fraction of images each level classifies correctly; the level is 0 afterwards."""
    result = []
    with evaluating(model), torch.no_grad():
        for level in range(len(model.ratios)):
            model.set_level(level)
            correct = total = 0
            for images, labels in batches():
                correct += int((model(images).argmax(dim=1) == labels).sum())
                total += len(labels)
            result.append(correct / total)
    model.set_level(0)
    return result
