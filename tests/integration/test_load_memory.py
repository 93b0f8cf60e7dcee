# SPDX-License-Identifier: Apache-2.0
"""Loading needs little more memory than the weights it leaves, and leaves nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from model_parts import ModelBuilder, small_model

LOAD = Path(__file__).parents[1] / "support" / "load_memory.py"
LAYERS, CHANNELS = 16, 1024
# What the parts of Python and malloc that a load brings in for the first time may take.
SLACK_MIB = 6.0


def test_weights_are_in_memory_once(tmp_path: Path) -> None:
    builder = ModelBuilder((CHANNELS, 1, 1))
    node = "x"
    for i in range(LAYERS):
        node = builder.conv(f"c{i}", node, (CHANNELS, CHANNELS, 1, 1))
    path = builder.finish([node]).write(tmp_path / "large.aio")
    file_mib = path.stat().st_size / 2**20
    layer_mib = file_mib / LAYERS

    small = small_model().write(tmp_path / "small.aio")
    done = subprocess.run(
        [sys.executable, str(LOAD), str(small), str(path)], stdout=subprocess.PIPE, check=True
    )
    report = json.loads(done.stdout)
    print(report)
    assert report["weights_mib"] > CHANNELS**2 * LAYERS * 4 / 2**20
    kept_mib = report["weights_mib"] + report["arena_mib"]
    # Two copies would be twice the file, which is 68 MiB.
    assert report["peak_mib"] < max(file_mib, kept_mib) + 2 * layer_mib + SLACK_MIB
    assert report["resident_mib"] < kept_mib + SLACK_MIB
