# SPDX-License-Identifier: Apache-2.0
"""The measurement of what a server adds: every way is there, and the numbers belong together."""

import pytest

from aio.runtime.benchmark.serving import bench_serving
from aio.runtime.shipped import SHIPPED_MODEL


def test_every_way_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("AIO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    done: list[float] = []
    result = bench_serving(SHIPPED_MODEL, threads=1, seconds=0.1, progress=done.append)
    assert [way.name for way in result.ways] == [
        "infer",
        "HTTP",
        "HTTP, Unix socket",
        "echo",
        "echo, Unix socket",
        "infer, beside gRPC",
        "gRPC",
        "echo, gRPC",
    ]
    infer = result.ways[0]
    beside_grpc = result.ways[5]
    assert infer.added_ms == infer.row_added_ms == 0
    for way in result.ways:
        assert 0 < way.p50_ms <= way.p95_ms
        base = beside_grpc if "gRPC" in way.name else infer
        if way.name.startswith("echo"):
            assert way.added_ms is way.row_added_ms is None
            continue
        assert way.added_ms == way.p50_ms - base.p50_ms
        assert way.row_added_ms == way.row_p50_ms - base.row_p50_ms
    assert result.calls >= 1
    assert result.request_bytes > 4 * 64
    assert result.rss_bytes > 2**20
    assert done[-1] <= 1
