# SPDX-License-Identifier: Apache-2.0
"""Two processes started by torchrun, against one that does the work of both."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from aio.models.checkpoint import load_checkpoint

SMALL = """
import sys
from torch import nn
from aio.models import zoo

def small(num_classes):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 16, num_classes),
    )

zoo.NETWORKS["digits_resnet"] = small
from aio.runtime.cli import main
sys.exit(main(sys.argv[1:]))
"""
OPTIONS = ["--dataset", "digits", "--ratios", "0,0.5,0.9", "--threads", "1", "--parts", "2"]
DEADLINE_S = 120
EPOCHS = 5  # the run is killed in the second one or the third


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    return path


def command(script: Path, output: Path, epochs: int, processes: int) -> list[str]:
    words = ["train", *OPTIONS, "--epochs", str(epochs), "--output", str(output), "--auto-resume"]
    run = [sys.executable]
    if processes > 1:
        run += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*run, str(script), *words, "--json"]


def test_two_processes_give_what_one_gives(script: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "one.aio", tmp_path / "two.aio"]
    for processes, output in enumerate(outputs, start=1):
        done = subprocess.run(
            command(script, output, 2, processes),
            check=True, capture_output=True, text=True, timeout=DEADLINE_S,
        )  # fmt: skip
        assert len(json.loads(done.stdout)["levels"]) == 3
    one, two = (load_file(path) for path in outputs)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert (value - two[name]).abs().nan_to_num().max() <= 1e-4, name


def test_a_killed_worker_ends_all_and_the_run_goes_on(script: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.aio"
    checkpoint = tmp_path / "net.aio.checkpoint" / "checkpoint.pt"
    words = command(script, output, EPOCHS, 2)
    path = tmp_path / "log"
    with path.open("w") as log, subprocess.Popen(words, stdout=log, stderr=log) as agent:
        try:
            until = time.monotonic() + DEADLINE_S
            while not checkpoint.exists() and time.monotonic() < until:
                time.sleep(0.05)
            assert checkpoint.exists()
            os.kill(workers(agent.pid)[1], signal.SIGKILL)
            assert agent.wait(DEADLINE_S) != 0
        finally:
            agent.kill()
    assert "continue with: the same torchrun command and --auto-resume" in path.read_text()
    assert not output.exists()
    load_checkpoint(checkpoint)  # whole, whatever the moment was
    again = subprocess.run(words, check=True, capture_output=True, text=True, timeout=DEADLINE_S)
    assert len(json.loads(again.stdout)["levels"]) == 3
    straight = tmp_path / "straight.aio"
    subprocess.run(
        command(script, straight, EPOCHS, 2), check=True, capture_output=True, timeout=DEADLINE_S
    )
    assert output.read_bytes() == straight.read_bytes()


def workers(agent: int) -> list[int]:
    """Return the processes that an agent of torchrun has started."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [int(pid) for pid in children]
