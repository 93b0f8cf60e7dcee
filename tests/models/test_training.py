# SPDX-License-Identifier: Apache-2.0
import argparse
import dataclasses
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from aio.models import CheckpointError, ModelError, zoo
from aio.models.checkpoint import load_checkpoint, save_checkpoint
from aio.models.commands.setting_options import add_setting_options, given_settings
from aio.models.recipes import make_net, make_source, recipe
from aio.models.settings import TrainSettings
from aio.models.trainer import EpochResult
from aio.models.training import provenance, started_net, train

# A batch of everything: one step per epoch.
SETTINGS = TrainSettings(epochs=2, ratios=(0.0, 0.9), batch_size=256, validation=True, threads=1)


class StopError(Exception):
    pass


def stop_after_first(result: EpochResult) -> None:
    if result.epoch == 1:
        raise StopError


@pytest.fixture(scope="module")
def straight() -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in train(SETTINGS).model.state_dict().items()}


def test_interrupted_and_resumed_run_gives_the_same_bits(
    tmp_path: Path, straight: dict[str, torch.Tensor]
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(StopError):
        train(SETTINGS, checkpoint, on_epoch=stop_after_first)
    _, state = load_checkpoint(checkpoint)
    assert state["epoch"] == 1
    epochs: list[int] = []
    outcome = train(
        SETTINGS, checkpoint, resume=True, on_epoch=lambda result: epochs.append(result.epoch)
    )
    assert epochs == [2]
    resumed = outcome.model.state_dict()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert outcome.held_out == 287
    assert len(outcome.accuracy) == 2
    assert not outcome.model.training


def test_another_seed_gives_another_network(straight: dict[str, torch.Tensor]) -> None:
    settings = TrainSettings(**{**SETTINGS.to_dict(), "ratios": SETTINGS.ratios, "seed": 1})
    other = train(settings).model.state_dict()
    assert not torch.equal(straight["net.conv1.weight"], other["net.conv1.weight"])


def test_torch_is_left_as_it_was() -> None:
    threads, rng = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(StopError):
        train(SETTINGS, on_epoch=stop_after_first)
    assert torch.get_num_threads() == threads
    assert torch.equal(rng, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    save_checkpoint(checkpoint, TrainSettings(epochs=9), {})
    with pytest.raises(CheckpointError, match=r"other settings: .*epochs 9 instead of 2"):
        train(SETTINGS, checkpoint, resume=True)
    save_checkpoint(checkpoint, SETTINGS, {"model": {}})
    with pytest.raises(CheckpointError, match="does not fit"):
        train(SETTINGS, checkpoint, resume=True)
    with pytest.raises(CheckpointError, match="no file to resume"):
        train(SETTINGS, resume=True)


def test_a_run_starts_from_trained_weights(tmp_path: Path) -> None:
    start = tmp_path / "dense.pt"
    net = make_net(SETTINGS, make_source(SETTINGS))
    torch.save(net.state_dict(), start)
    settings = dataclasses.replace(
        SETTINGS, initial_weights=str(start), learning_rate=0.0, score_learning_rate=0.0
    )
    assert (settings.dense_epochs, SETTINGS.dense_epochs) == (0, 1)
    found = train(settings).model.state_dict()
    assert torch.equal(found["net.conv1.weight"], net.state_dict()["conv1.weight"])
    said = provenance(settings)
    assert said["command"].endswith("--from FILE")
    assert said["settings"]["initial_weights_sha256"] == sha256(start.read_bytes()).hexdigest()
    assert str(tmp_path) not in str(said)


def test_a_new_classifier_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(zoo.network("digits_resnet", 7, 1).state_dict(), tmp_path / "seven.pt")
    settings = dataclasses.replace(SETTINGS, initial_weights=str(tmp_path / "seven.pt"))
    started_net(settings, make_source(settings))
    assert "seven.pt tells other classes apart than the data: fc.weight and fc.bias" in caplog.text


def test_unknown_data_set_is_named() -> None:
    with pytest.raises(ModelError, match="no data set 'mnist', there are: digits"):
        recipe("mnist")


def test_provenance_repeats_and_names_the_run() -> None:
    settings = TrainSettings(seed=3, ratios=(0.0, 0.5))
    found = provenance(settings)
    assert found == provenance(settings)
    assert found["command"] == "aio train --dataset digits --ratios 0,0.5 --seed 3"
    assert found["held_out_images"] == 359
    assert set(found["versions"]) == {"torch", "scikit-learn", "numpy"}
    assert provenance(SETTINGS)["command"].endswith("--validation --batch-size 256 --threads 1")
    heights = TrainSettings(block_heights=(("layer3.*", 8), ("*", 16)), permute=True)
    assert heights.command() == (
        "aio train --dataset digits --block-height layer3.*=8,*=16 --permute"
    )


def test_the_command_gives_the_settings_back() -> None:
    settings = TrainSettings(
        ratios=(0.0, 0.75),
        epochs=7,
        block_heights=(("fc", 8), ("*", 16)),
        allocation="erk",
        permute=True,
        precision="bfloat16",
        average=0.99,
        network="resnet20",
        dataset="clutter",
    )
    parser = argparse.ArgumentParser()
    add_setting_options(parser)
    words = settings.command().split()[2:]
    assert TrainSettings(**given_settings(parser.parse_args(words))) == settings
