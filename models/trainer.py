# SPDX-License-Identifier: Apache-2.0
"""Joint training of all levels.

Every step runs a few subnets on the same batch (see sampling.py), adds up their gradients and
moves the weights once; then each layer's thresholds follow its scores, so that every level keeps
exactly its number of blocks at any time.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from aio.models.allinone import AllInOne
from aio.models.data.source import Source
from aio.models.losses import dense_loss, sparse_loss
from aio.models.masked import MaskedLayer
from aio.models.sampling import sandwich
from aio.models.settings import TrainSettings


@dataclass(frozen=True)
class EpochResult:
    """Mean training losses of an epoch, of the densest and of the sparsest level."""

    epoch: int
    dense_loss: float
    sparse_loss: float


class Trainer:
    """Trains a model on a source; its whole state can be saved after any epoch.

    Attributes:
        model: the network in training.
        epoch: epochs done.
        last_result: losses of the last epoch, None before the first and after a restore.
    """

    def __init__(self, model: AllInOne, source: Source, settings: TrainSettings) -> None:
        self.model = model
        use_channels_last(model)
        self.epoch = 0
        self.last_result: EpochResult | None = None
        self._source = source
        self._settings = settings
        self._steps = source.steps(settings.batch_size)
        self._generator = Generator().manual_seed(settings.seed)
        self._optimizer = _optimizer(model, settings)
        self._peak_rates = [group["lr"] for group in self._optimizer.param_groups]

    def run_epoch(self) -> EpochResult:
        """Train for one epoch."""
        self.model.train()
        totals = torch.zeros(2, dtype=torch.float64)
        batches = self._source.train_batches(self._settings.batch_size, self._generator)
        for index, (images, labels) in enumerate(batches):
            self._set_rates(self.epoch * self._steps + index)
            totals += torch.tensor(self._step(images, labels), dtype=torch.float64)
        self.epoch += 1
        dense, sparse = (totals / self._steps).tolist()
        self.last_result = EpochResult(self.epoch, dense, sparse)
        return self.last_result

    def _step(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        settings, model = self._settings, self.model
        images = images.contiguous(memory_format=torch.channels_last)
        plans = sandwich(
            len(model.ratios),
            len(model.layer_names),
            settings.random_levels,
            settings.mixed_fraction,
            self._generator,
        )
        self._optimizer.zero_grad(set_to_none=True)
        model.set_level(0)
        teacher = model(images)
        first = last = dense_loss(teacher, labels, settings.label_smoothing)
        _backward(first)
        for plan in plans[1:]:
            if isinstance(plan, int):
                model.set_level(plan)
            else:
                model.set_layer_levels(plan)
            last = sparse_loss(model(images), teacher, labels, settings.distillation)
            _backward(last)
        self._optimizer.step()
        model.update_thresholds()
        return first.item(), last.item()

    def _set_rates(self, step: int) -> None:
        progress = step / (self._steps * self._settings.epochs)
        factor = rate_factor(progress, self._settings.warmup)
        for group, peak in zip(self._optimizer.param_groups, self._peak_rates, strict=True):
            group["lr"] = peak * factor

    def state_dict(self) -> dict[str, Any]:
        """Return all that later epochs depend on."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "torch_rng": torch.get_rng_state(),  # for networks with dropout
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        self.epoch = int(state["epoch"])
        self.last_result = None


def use_channels_last(net: nn.Module) -> None:
    """Lay 4-axis parameters out as NHWC, which halves the time of a convolution on a CPU."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def rate_factor(progress: float, warmup: float) -> float:
    """Return the learning rate relative to its peak: a linear rise, then half a cosine."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def _optimizer(model: AllInOne, settings: TrainSettings) -> torch.optim.Optimizer:
    scores = [m.score for m in model.modules() if isinstance(m, MaskedLayer)]
    of_scores = {id(score) for score in scores}
    others = [p for p in model.parameters() if id(p) not in of_scores]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        {"params": scores, "weight_decay": 0.0, "lr": settings.score_learning_rate},
    ]
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
