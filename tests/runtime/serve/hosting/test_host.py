# SPDX-License-Identifier: Apache-2.0
"""Which model answers, and when there is none that can."""

import asyncio

import pytest
from fake_engine import FakeEngine, record

from aio.runtime.errors import InputError
from aio.runtime.serve.errors import UnavailableError, UnknownModelError
from aio.runtime.serve.hosting.engine import answer_parameters, describe
from aio.runtime.serve.hosting.host import Host, State
from aio.runtime.serve.scheduling.dispatcher import Dispatcher


def test_find() -> None:
    host = Host(Dispatcher(limit=1))
    with pytest.raises(UnavailableError, match="being loaded"):
        host.find("fake")
    engine = FakeEngine()
    model = asyncio.run(host.load(lambda: engine))
    assert host.state is State.READY
    assert host.models == (model,)
    assert host.find("fake") is host.find("fake", "1") is model
    with pytest.raises(UnknownModelError, match="no model is named 'other'; there is fake"):
        host.find("other")
    with pytest.raises(UnknownModelError, match="no version '2'; there is 1"):
        host.find("fake", "2")
    assert host.close(timeout_s=5)
    assert engine.closed
    with pytest.raises(UnavailableError, match="stopping"):
        host.find("fake")


def test_a_model_loaded_while_stopping_does_not_make_the_server_ready() -> None:
    host = Host(Dispatcher(limit=1))
    host.state = State.STOPPING
    asyncio.run(host.load(FakeEngine))
    assert host.state is State.STOPPING
    assert host.close(timeout_s=5)


def test_a_file_whose_model_is_named_like_the_statistics_is_refused() -> None:
    host = Host(Dispatcher(limit=1))
    engine = FakeEngine(name="stats")
    with pytest.raises(InputError, match=r"named stats, .* as OTHER_NAME\.aio"):
        asyncio.run(host.load(lambda: engine))
    assert engine.closed
    assert host.models == ()
    assert host.close(timeout_s=5)


def test_describe() -> None:
    spec = describe(FakeEngine(), "1")
    assert (spec.name, spec.version, spec.levels) == ("fake", "1", 3)
    assert [(item.name, item.shape, item.size) for item in spec.inputs] == [("image", (1, 2, 3), 6)]
    assert spec.outputs[0].labels == ("ant", "bee", "cat", "dog")


def test_a_prediction_of_zero_is_a_value_and_a_missing_one_is_left_out() -> None:
    assert answer_parameters(record(predicted_ms=0.0))["aio_predicted_ms"] == 0.0
    assert "aio_predicted_ms" not in answer_parameters(record(predicted_ms=None))
