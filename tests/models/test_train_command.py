# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from aio.models import CheckpointError, ModelError, zoo
from aio.models.checkpoint import save_checkpoint
from aio.models.commands import train
from aio.models.settings import TrainSettings

TINY_NETWORK = """
from torch import nn
from aio.models import zoo

def tiny_net(num_classes):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 10),
    )

zoo.NETWORKS["digits_resnet"] = tiny_net
"""
QUICK = ["--dataset", "digits", "--epochs", "1", "--ratios", "0,0.9", "--threads", "1"]


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train something small; what is tested here does not depend on the network."""
    monkeypatch.setitem(
        zoo.NETWORKS, "digits_resnet", zoo.NETWORKS["digits_resnet"]
    )  # puts the real one back
    exec(TINY_NETWORK, {})


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(epilog=train.EXAMPLES)
    train.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.usefixtures("tiny_network")
def test_trains_writes_and_cleans_up(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    read_model: Callable[[Path], tuple[dict[str, Any], dict[str, Tensor]]],
) -> None:
    output, request = tmp_path / "net.aio", tmp_path / "request.json"
    words = [*QUICK, "--output", str(output), "--example-request", str(request)]
    assert train.run(parse(*words)) == 0
    table = capsys.readouterr()
    assert "accuracy on 359 held-out images" in table.out
    assert "epoch 1/1" in table.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.aio", "request.json"]
    manifest, _ = read_model(output)
    assert manifest["name"] == "digits"
    assert manifest["provenance"]["command"] == "aio train " + " ".join(
        ["--dataset digits --ratios 0,0.9 --epochs 1 --threads 1"]
    )
    assert str(tmp_path) not in json.dumps(manifest)
    assert json.loads(request.read_text())["inputs"][0]["shape"] == [1, 1, 8, 8]

    again = tmp_path / "again.aio"
    assert train.run(parse(*QUICK, "--output", str(again), "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["size_bytes"] == again.stat().st_size < 1_000_000
    assert [level["ratio"] for level in result["levels"]] == [0.0, 0.9]
    assert [level["metrics"]["accuracy"] for level in manifest["levels"]] == [
        level["accuracy"] for level in result["levels"]
    ]
    assert output.read_bytes() == again.read_bytes()


def test_interrupted_run_says_how_to_go_on_and_gives_the_same_file(tmp_path: Path) -> None:
    script = TINY_NETWORK + (
        "import argparse, signal, sys\n"
        # A shell that runs the tests in the background has its children ignore the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from aio.models.commands import train\n"
        "parser = argparse.ArgumentParser(); train.add_arguments(parser)\n"
        "try: sys.exit(train.run(parser.parse_args()))\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    words = [sys.executable, "-c", script, *QUICK, "--epochs", "40"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [*words, "--output", "cut.aio"]
    whole = subprocess.Popen([*words, "--output", "straight.aio"], cwd=tmp_path)
    with (
        whole,
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=environment) as run,
    ):
        assert run.stderr is not None
        # A line comes every tenth of the run: so many epochs are left that the signal is in time.
        first = run.stderr.readline().decode()
        run.send_signal(signal.SIGINT)
        message = run.stderr.read().decode()
    assert first.startswith("epoch 4/40")
    assert run.returncode == 130
    assert "aio train --resume cut.aio.checkpoint --output cut.aio" in message
    assert not (tmp_path / "cut.aio").exists()

    resume = [sys.executable, "-c", script, "--resume", "cut.aio.checkpoint", "--output", "cut.aio"]
    subprocess.run(resume, cwd=tmp_path, check=True, capture_output=True)
    assert whole.returncode == 0
    assert (tmp_path / "cut.aio").read_bytes() == (tmp_path / "straight.aio").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cut.aio", "straight.aio"]


def test_a_full_disk_keeps_the_last_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the system refuses to write on."""
    limited = TINY_NETWORK + (
        "import resource, sys\n"
        "from aio.models import training\n"
        "def save_twice(path, *rest, saved=[]):\n"
        "    if saved: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "    saved.append(path)\n"
        "    real(path, *rest)\n"
        "real, training.save_checkpoint = training.save_checkpoint, save_twice\n"
        "from aio.runtime.cli import main\n"
        "sys.exit(main(['train', *sys.argv[1:]]))\n"
    )
    words = [sys.executable, "-c", limited, *QUICK, "--output", "net.aio"]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "aio train --resume net.aio.checkpoint --output net.aio" in run.stderr
    assert "File too large: 'net.aio.checkpoint/checkpoint.pt'" in run.stderr
    assert "Traceback" not in run.stderr
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["checkpoint.pt"]  # the one before, whole
    free = TINY_NETWORK + "import sys; from aio.runtime.cli import main; sys.exit(main())"
    resume = ["train", "--resume", "net.aio.checkpoint", "--output", "net.aio"]
    subprocess.run([sys.executable, "-c", free, *resume], cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["net.aio"]


def test_ctrl_c_before_the_first_epoch_is_resumable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aio.models.trainer.Trainer.run_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train.run(parse(*QUICK, "--output", str(tmp_path / "m.aio")))
    assert "continue with" in capsys.readouterr().err
    assert (tmp_path / "m.aio.checkpoint" / "checkpoint.pt").exists()


def test_an_unfinished_run_is_not_overwritten(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "checkpoint.pt").write_bytes(b"a run of somebody")
    with pytest.raises(FileExistsError, match=r"holds an unfinished run: .* --resume"):
        train.run(
            parse(*QUICK, "--output", str(tmp_path / "m.aio"), "--checkpoint-dir", str(directory))
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ratios", "0,1.2"], "ratio 1.2 is not in"),
        (["--ratios", "0.5,0.2"], "ratios must increase"),
        (["--epochs", "0"], "epochs 0 is too small"),
        (["--seed", "-1"], "seed -1"),
        (["--threads", "0"], "threads 0"),
    ],
)
def test_values_out_of_range_are_named(tmp_path: Path, words: list[str], message: str) -> None:
    output = tmp_path / "m.aio"
    with pytest.raises(ModelError, match=message):
        train.run(parse("--dataset", "digits", *words, "--output", str(output)))
    assert list(tmp_path.iterdir()) == []


def test_missing_data_set_is_named() -> None:
    with pytest.raises(ModelError, match=r"--dataset is missing, choose from: .*digits"):
        train.run(parse())


def test_text_that_is_no_ratio_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse("--ratios", "0,half")
    assert stop.value.code == 2
    assert "'0,half' is not a list of numbers" in capsys.readouterr().err


def test_output_that_cannot_be_written_is_named_before_training(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="does not exist"):
        train.run(parse(*QUICK, "--output", str(tmp_path / "none" / "m.aio")))
    words = ["--output", str(tmp_path / "m.aio"), "--example-request"]
    with pytest.raises(OSError, match="does not exist"):
        train.run(parse(*QUICK, *words, str(tmp_path / "none" / "r.json")))
    with pytest.raises(OSError, match=r"checkpoints, /proc/none, can't be made"):
        train.run(parse(*QUICK, *words[:2], "--checkpoint-dir", "/proc/none"))
    assert list(tmp_path.iterdir()) == []


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.pt", TrainSettings(seed=4), {})
    resume = ["--resume", str(tmp_path), "--output", str(tmp_path / "m.aio")]
    with pytest.raises(CheckpointError, match="seed 4 instead of 5; leave these options out"):
        train.run(parse(*resume, "--seed", "5"))
    with pytest.raises(ModelError, match="leave --checkpoint-dir out"):
        train.run(parse(*resume, "--checkpoint-dir", str(tmp_path / "other")))
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        train.run(parse("--resume", str(tmp_path / "none")))


def test_help_and_import_need_no_torch() -> None:
    code = (
        "import sys, argparse, time\n"
        "import aio.models\n"
        "from aio.models.commands import train\n"
        "train.add_arguments(argparse.ArgumentParser())\n"
        "print('torch' in sys.modules or 'sklearn' in sys.modules or 'numpy' in sys.modules)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert time.monotonic() - started < 30
    assert train.HELP
    assert "aio train --resume" in train.EXAMPLES
