# SPDX-License-Identifier: Apache-2.0
"""A running server that speaks gRPC, around a fake engine, and stubs to ask it."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from fake_engine import FakeEngine, LiveServer, serving
from rpc_client import Client


@pytest.fixture(scope="module")
def shared_server() -> Iterator[tuple[LiveServer, FakeEngine]]:
    engine = FakeEngine()
    with serving(lambda: engine, grpc=True) as server:
        server.wait_for(server.announced.is_set)
        yield server, engine


@pytest.fixture(scope="module")
def shared_client(shared_server: tuple[LiveServer, FakeEngine]) -> Iterator[Client]:
    with closing(Client(shared_server[0].grpc)) as client:
        yield client


@pytest.fixture
def client(shared_client: Client, engine: FakeEngine) -> Client:
    assert engine.error is None
    return shared_client
