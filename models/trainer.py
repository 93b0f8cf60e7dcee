# SPDX-License-Identifier: Apache-2.0
"""Joint training of all levels, after the densest one has been trained alone.

Two phases, each with a whole schedule of rates of its own: sparse levels need a well-trained
network to start from, and then the rates to leave it. A joint step runs a few subnets on the same
batch (see sampling.py), adds up their gradients and moves the weights once; then each layer's
thresholds follow its scores, so that every level keeps exactly its number of blocks at any time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from aio.models.allinone import AllInOne
from aio.models.average import WeightAverage
from aio.models.data.source import Batch, Source
from aio.models.distributed import Group
from aio.models.losses import dense_loss, sparse_loss
from aio.models.masked import MaskedLayer
from aio.models.permutation import permute_channels
from aio.models.sampling import Plan, sandwich
from aio.models.schedules import grown, rate_factor, score_factor
from aio.models.settings import TrainSettings
from aio.models.supernet import Supernet


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

    def __init__(
        self,
        model: Supernet,
        source: Source,
        settings: TrainSettings,
        group: Group | None = None,
    ) -> None:
        self.model = model.to(settings.device)
        use_channels_last(model)
        self.epoch = 0
        self.last_result: EpochResult | None = None
        self._source = source
        self._settings = settings
        self._group = group or Group()
        self._steps = source.steps(settings.batch_size)
        self._generator = Generator().manual_seed(settings.seed)
        self._optimizer = _optimizer(model, settings)
        self._peak_rates = [group["lr"] for group in self._optimizer.param_groups]
        self._average = WeightAverage(model, settings.average) if settings.average else None

    def run_epoch(self) -> EpochResult:
        """Train for one epoch."""
        self.model.train()
        self._start_epoch()
        totals = torch.zeros(2, dtype=torch.float64)
        batches = self._source.train_batches(self._settings.batch_size, self._generator)
        for index, batch in enumerate(batches):
            progress = self._progress(index / self._steps)
            self._set_rates(progress)
            totals += torch.tensor(self._step(batch, progress), dtype=torch.float64)
        self.epoch += 1
        dense, sparse = (totals / self._steps).tolist()
        self.last_result = EpochResult(self.epoch, dense, sparse)
        return self.last_result

    def finish(self) -> None:
        """Make the model what is to be judged: averaged weights, its own ratios, on the CPU."""
        if self._average is not None:
            self._average.apply()
        self.model.to("cpu").update_thresholds()
        self.model.eval()

    def _progress(self, part: float) -> float:
        """Return how much of its phase is done, 0 to 1, after a part of the current epoch."""
        dense, all_epochs = self._settings.dense_epochs, self._settings.epochs
        if self.epoch < dense:
            return (self.epoch + part) / dense
        return (self.epoch - dense + part) / (all_epochs - dense)

    def _start_epoch(self) -> None:
        """Begin the joint phase: every level starts from the densest one."""
        begins = self._settings.has_trained_start and self.epoch == self._settings.dense_epochs
        if not begins or not isinstance(self.model, AllInOne):
            return
        if self._settings.permute:
            permute_channels(self.model)
        self.model.restart_levels()
        self._optimizer.state.clear()  # momenta are of channels in another order
        if self._average is not None:
            self._average.restart()

    def _step(self, batch: Batch, progress: float) -> tuple[float, float]:
        plans = self._plans()
        parts = self._settings.parts
        self._optimizer.zero_grad(set_to_none=True)
        losses = torch.zeros(2, dtype=torch.float64)
        for index in range(self._group.rank, parts, self._group.size):
            images, labels = batch.part(index, parts)
            losses += torch.tensor(self._backward(images, labels, plans), dtype=torch.float64)
        self._group.add_gradients(self.model.parameters())
        self._optimizer.step()
        growth = self._settings.growth
        self.model.update_thresholds(grown(self.model.ratios, progress, growth) if growth else None)
        if self._average is not None:
            self._average.update()
        first, last = (losses * self._group.size / parts).tolist()
        return first, last

    def _plans(self) -> list[Plan]:
        settings, model = self._settings, self.model
        if self.epoch < settings.dense_epochs:
            return [0]
        return sandwich(
            model.ratios,
            len(model.layer_names),
            settings.random_levels,
            settings.mixed_fraction,
            self._generator,
            adjacent_fraction=settings.adjacent_fraction,
            sparse_preference=settings.sparse_preference,
        )

    def _backward(
        self, images: Tensor, labels: Tensor, plans: Sequence[Plan]
    ) -> tuple[float, float]:
        """Add the gradients of a part of a batch; return the first and the last plan's loss."""
        settings, model = self._settings, self.model
        images = images.to(settings.device).contiguous(memory_format=torch.channels_last)
        labels = labels.to(settings.device)
        model.set_level(0)
        teacher = self._forward(images)
        first = last = dense_loss(teacher, labels, settings.label_smoothing)
        self._add_gradients(first)
        for plan in plans[1:]:
            if isinstance(plan, int):
                model.set_level(plan)
            else:
                model.set_layer_levels(plan)
            last = sparse_loss(self._forward(images), teacher, labels, settings.distillation)
            self._add_gradients(last)
        return first.item(), last.item()

    def _forward(self, images: Tensor) -> Tensor:
        half = self._settings.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            logits: Tensor = self.model(images)
        return logits.float()

    def _add_gradients(self, loss: Tensor) -> None:
        (loss / self._settings.parts).backward()  # type: ignore[no-untyped-call]

    def _set_rates(self, progress: float) -> None:
        factor = rate_factor(progress, self._settings.warmup)
        for group, peak in zip(self._optimizer.param_groups, self._peak_rates, strict=True):
            group["lr"] = peak * factor
        *_, of_scores = self._optimizer.param_groups
        of_scores["lr"] *= score_factor(progress, self._settings.score_end)

    def state_dict(self) -> dict[str, Any]:
        """Return all that later epochs depend on."""
        average = None if self._average is None else self._average.state_dict()
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "torch_rng": torch.get_rng_state(),  # for networks with dropout
            "average": average,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.epoch = int(state["epoch"])
        self.last_result = None


def use_channels_last(net: nn.Module) -> None:
    """Lay 4-axis parameters out as NHWC, which halves the time of a convolution on a CPU."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _optimizer(model: Supernet, settings: TrainSettings) -> torch.optim.Optimizer:
    scores = [m.score for m in model.modules() if isinstance(m, MaskedLayer)]
    of_scores = {id(score) for score in scores}
    others = [p for p in model.parameters() if id(p) not in of_scores]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        {"params": scores, "weight_decay": 0.0, "lr": settings.score_learning_rate},
    ]
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
