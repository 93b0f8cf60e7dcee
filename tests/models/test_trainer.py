# SPDX-License-Identifier: Apache-2.0
import copy

import numpy as np
import pytest
import torch
from torch import nn

from aio.models import AllInOne, ModelError
from aio.models.blocks import magnitude
from aio.models.data.augment import Distortion
from aio.models.data.source import Source, array_source
from aio.models.evaluate import accuracy_per_level, recalibrate
from aio.models.schedules import rate_factor
from aio.models.settings import TrainSettings
from aio.models.switchable import SwitchableBatchNorm
from aio.models.trainer import Trainer

RATIOS = (0.0, 0.5, 0.9)


def stripes() -> Source:
    """Horizontal against vertical stripes: learned in seconds, and not by chance."""
    generator = np.random.default_rng(0)
    images = generator.normal(0, 0.3, (96, 1, 8, 8)).astype(np.float32)
    labels = np.arange(96) % 2
    images[labels == 0, :, ::2] += 2.0
    images[labels == 1, :, :, ::2] += 2.0
    still = Distortion(0.0, 0.0, 0.0, 0.0, 0.0)
    return array_source((images[:64], labels[:64]), (images[64:], labels[64:]), ("-", "|"), still)


def tiny_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(16, 2),
    )


def trainer(epochs: int = 6) -> Trainer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AllInOne(tiny_net(), RATIOS)
    return Trainer(model, stripes(), TrainSettings(epochs=epochs, ratios=RATIOS, batch_size=16))


def test_every_level_learns_and_keeps_its_number_of_blocks() -> None:
    run = trainer()
    model = run.model
    assert isinstance(model, AllInOne)
    kept = model.kept_weights()
    results = [run.run_epoch() for _ in range(6)]
    assert results[-1].dense_loss < results[0].dense_loss / 2
    assert model.kept_weights() == kept
    source = stripes()
    recalibrate(run.model, source.calibration_batches)
    assert accuracy_per_level(run.model, source.held_out_batches) == [1.0, 1.0, 1.0]


def test_restored_state_goes_on_bit_by_bit() -> None:
    straight = trainer()
    for _ in range(3):
        straight.run_epoch()
    state = copy.deepcopy(straight.state_dict())
    expected = straight.run_epoch()
    torch.rand(5)  # whatever happens between two runs
    resumed = trainer()
    resumed.load_state_dict(state)
    assert resumed.run_epoch() == expected
    weights, others = straight.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_rates_rise_then_fall_to_zero() -> None:
    factors = [rate_factor(step / 100, 0.1) for step in range(101)]
    assert factors.index(max(factors)) == 10
    assert max(factors) == pytest.approx(1.0)
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.0)
    assert rate_factor(0.0, 0.0) == pytest.approx(1.0)


def test_scores_have_their_own_rate_and_no_decay() -> None:
    settings = TrainSettings(ratios=RATIOS, learning_rate=0.0, score_learning_rate=0.5)
    model = AllInOne(tiny_net(), RATIOS)
    scores = [layer.score.detach().clone() for layer in model.masked_layers().values()]
    weight = model.net.get_parameter("3.weight").detach().clone()
    Trainer(model, stripes(), settings).run_epoch()
    moved = [layer.score for layer in model.masked_layers().values()]
    assert not any(torch.equal(a, b) for a, b in zip(scores, moved, strict=True))
    assert torch.equal(weight, model.net.get_parameter("3.weight"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("threads", 0),
        ("seed", -1),
        ("seed", 2**63),
        ("warmup", 1.5),
        ("distillation", -0.1),
        ("learning_rate", float("inf")),
        ("sparse_preference", 5.0),
        ("sparse_preference", float("nan")),
    ],
)
def test_settings_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ModelError, match=f"{name} "):
        TrainSettings(**{name: value})  # type: ignore[arg-type]


def trained(**changes: object) -> AllInOne:
    settings = TrainSettings(
        **{"epochs": 3, "ratios": RATIOS, "batch_size": 16, **changes}  # type: ignore[arg-type]
    )
    torch.manual_seed(0)
    model = AllInOne(tiny_net(), RATIOS)
    run = Trainer(model, stripes(), settings)
    for _ in range(settings.epochs):
        run.run_epoch()
    run.finish()
    return model


@pytest.mark.parametrize(
    "changes",
    [
        {"growth": 0.5},
        {"score_end": 0.5},
        {"dense_fraction": 0.0},
        {"dense_fraction": 0.67, "permute": True},
        {"parts": 2},
        {"precision": "bfloat16"},
        {"average": 0.9},
        {"mixed_fraction": 1.0, "adjacent_fraction": 1.0},
    ],
)
def test_every_option_trains_to_the_ratios(changes: dict[str, object]) -> None:
    model, plain = trained(**changes), trained()
    assert model.kept_weights() == plain.kept_weights()
    others = plain.parameters()
    assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), others, strict=True))
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_each_phase_has_a_whole_schedule_of_rates() -> None:
    run = trainer(epochs=5)  # two dense ones, three joint ones
    rates = []
    for _ in range(5):
        run.run_epoch()
        rates.append(run.state_dict()["optimizer"]["param_groups"][0]["lr"])
    dense, joint = rates[:2], rates[2:]
    assert dense == sorted(dense, reverse=True)
    assert joint == sorted(joint, reverse=True)
    assert joint[0] > dense[1]


def test_joint_epochs_start_from_what_the_densest_level_has_learned() -> None:
    run = trainer(epochs=4)
    model = run.model
    assert isinstance(model, AllInOne)
    run.run_epoch()
    norm = model.net.get_submodule("1")
    assert isinstance(norm, SwitchableBatchNorm)
    assert not torch.equal(norm.at(0).weight, norm.at(2).weight)
    model.restart_levels()
    for level in (1, 2):
        first, other = norm.at(0).state_dict(), norm.at(level).state_dict()
        assert all(torch.equal(first[name], other[name]) for name in first)
    for layer in model.masked_layers().values():
        assert torch.equal(layer.score, magnitude(layer.weight.detach(), layer.block_height))
        assert layer.kept_blocks() == [layer.blocks_at(ratio) for ratio in RATIOS]


def test_masks_stay_after_the_scores_end() -> None:
    settings = TrainSettings(
        epochs=2, ratios=RATIOS, batch_size=16, score_end=0.5, dense_fraction=0.0
    )
    model = AllInOne(tiny_net(), RATIOS)
    run = Trainer(model, stripes(), settings)
    run.run_epoch()
    scores = [layer.score.detach().clone() for layer in model.masked_layers().values()]
    run.run_epoch()
    after = [layer.score for layer in model.masked_layers().values()]
    assert all(torch.equal(a, b) for a, b in zip(scores, after, strict=True))


def test_an_average_is_resumed_with_the_rest() -> None:
    def run(average: float = 0.9) -> Trainer:
        torch.manual_seed(0)
        settings = TrainSettings(epochs=4, ratios=RATIOS, batch_size=16, average=average)
        return Trainer(AllInOne(tiny_net(), RATIOS), stripes(), settings)

    straight = run()
    straight.run_epoch()
    state = copy.deepcopy(straight.state_dict())
    straight.run_epoch()
    straight.finish()
    resumed = run()
    resumed.load_state_dict(state)
    resumed.run_epoch()
    resumed.finish()
    expected, found = straight.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": 3}, "batch_size 64 can't be cut into 3 equal parts"),
        (
            {"permute": True, "epochs": 1},
            "permute needs a dense epoch, dense_fraction 0.5 of 1 is",
        ),
        ({"dense_fraction": 1.0}, "leaves no epoch to sparse levels"),
        ({"allocation": "cost"}, "needs measured costs"),
        ({"allocation": "magic"}, "allocation 'magic' is not one of"),
        ({"precision": "float16"}, "precision 'float16' is not one of"),
        ({"average": 1.0}, "average 1.0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TrainSettings(**changes)  # type: ignore[arg-type]
