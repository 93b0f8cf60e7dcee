# SPDX-License-Identifier: Apache-2.0
"""The short form of scripts/load-serve, on the real process. Nothing here measures speed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from load_client import Target
from load_phases import FACTORS, Load, Phase, broken_promises
from serve_process import PATIENCE_S, ServeProcess, environment, serve_process, wait_for

SEED = 7
SHAPE = (1, 8, 8)


@pytest.fixture(scope="module", params=[(), ("--max-batch", "8", "--batch-delay-ms", "1")])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    environ = environment(tmp_path_factory.mktemp("load"))
    with serve_process(environ, "--max-queue-ms", "200", *request.param) as server:
        yield server


def test_under_overload_only_503_none_lost_and_dense_again(server: ServeProcess) -> None:
    async def run() -> list[Phase]:
        target = Target("127.0.0.1", server.port, server.model, "image", SHAPE)
        load = Load(target, server.process.pid, SEED)
        try:
            await load.calm()
            capacity = await load.capacity(1.0)
            return [
                await load.phase(factor, factor * capacity, 1.0, look_s=PATIENCE_S)
                for factor in FACTORS
            ]
        finally:
            load.close()

    phases = asyncio.run(run())
    print("seed", SEED, [phase.as_dict() for phase in phases])
    assert broken_promises(phases, dense_within_s=PATIENCE_S, rss_growth_mib=8.0) == []
    assert all(phase.answered for phase in phases)
    # What clients that went had asked for is gone from the queue too.
    wait_for(lambda: server.metric("nv_inference_pending_request_count") == 0, "an empty queue")
    text = server.request("GET", "/metrics")[1].decode()
    assert 'nv_inference_request_failure{model="digits",version="1",reason="BACKEND"}' not in text
    assert server.logged() == ""


def test_memory_is_that_of_the_process(server: ServeProcess) -> None:
    assert Path(f"/proc/{server.process.pid}/statm").exists()
    assert server.metric("nv_cpu_memory_total_bytes") > 0
