# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pytest
from model_parts import small_model
from peer_parts import fake_engines

from aio.runtime.benchmark.chart import check_chart_path, draw_chart
from aio.runtime.benchmark.network import Effort, bench_network
from aio.runtime.benchmark.peers.registry import PeerKind
from aio.runtime.model_file import read_model_file

__all__ = ["fake_engines"]  # a fixture


@pytest.mark.usefixtures("fake_engines")
def test_one_panel_per_number_of_threads(tmp_path: Path) -> None:
    model = read_model_file(small_model().write(tmp_path / "small.aio"))
    kinds = (
        PeerKind("honest", "Honest", "honest_engine"),
        PeerKind("sparse", "Sparse", "honest_engine", sparse=True),
    )
    widths = []
    for threads in ((1,), (1, 2)):
        effort = Effort(levels=(0, 2), threads=threads, seconds=0.001, peers=kinds)
        draw_chart(bench_network(model, effort), "a processor", tmp_path / "chart.png")
        picture = matplotlib.image.imread(tmp_path / "chart.png")
        widths.append(picture.shape[1])
        assert picture[..., :3].std() > 0.01
    assert widths[0] < widths[1]


def test_a_chart_is_a_png() -> None:
    check_chart_path(Path("levels.PNG"))
    with pytest.raises(ValueError, match=r"--chart is levels.pdf, expected a name that ends in"):
        check_chart_path(Path("levels.pdf"))
