# SPDX-License-Identifier: Apache-2.0
"""A running server around a fake engine, one for each module, as starting one takes a while."""

from collections.abc import Iterator

import pytest
from fake_engine import FakeEngine, LiveServer, serving


@pytest.fixture(scope="module")
def shared_server() -> Iterator[tuple[LiveServer, FakeEngine]]:
    engine = FakeEngine()
    with serving(lambda: engine) as server:
        server.wait_for(server.announced.is_set)
        yield server, engine


@pytest.fixture
def engine(shared_server: tuple[LiveServer, FakeEngine]) -> FakeEngine:
    """Return the engine of `live`, as new."""
    _, engine = shared_server
    engine.reset()
    return engine


@pytest.fixture
def live(shared_server: tuple[LiveServer, FakeEngine], engine: FakeEngine) -> LiveServer:
    assert engine.error is None
    return shared_server[0]
