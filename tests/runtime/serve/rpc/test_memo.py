# SPDX-License-Identifier: Apache-2.0
"""Requests that are looked up must be those that decoding would give."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine
from gone_memory import GoneMemory
from rpc_client import infer_request

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.hosting.engine import describe
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc import memo
from aio.runtime.serve.rpc.decode import decode_request
from aio.runtime.serve.rpc.memo import MAX_REQUESTS, DecodeMemo
from aio.runtime.serve.rpc.messages import message
from aio.runtime.serve.rpc.wire import RAW_INPUT, join

X = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)


class Models:
    """Serves one model, whose version can be replaced."""

    def __init__(self) -> None:
        self.model: Any = SimpleNamespace(spec=describe(FakeEngine(), "1"))
        self.asked: list[tuple[str, str | None]] = []

    def find(self, name: str, version: str | None) -> Any:
        self.asked.append((name, version))
        return self.model


def never(*_: object) -> None:
    pytest.fail("decoded again")


def test_the_second_request_has_its_own_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models()
    decoder = DecodeMemo(models.find, Limits())
    _, first = decoder.decode(infer_request(X), never)
    monkeypatch.setattr(memo, "decode_request", never)
    model, second = decoder.decode(infer_request(-X), never)
    assert model is models.model
    np.testing.assert_array_equal(first.inputs["image"], X)
    np.testing.assert_array_equal(second.inputs["image"], -X)
    assert second.inputs["image"].flags.aligned
    assert (second.request_id, second.outputs) == (first.request_id, first.outputs)
    assert models.asked == [models.asked[0]] * 2


def test_another_version_is_another_model() -> None:
    models = Models()
    decoder = DecodeMemo(models.find, Limits())
    _, first = decoder.decode(infer_request(X), never)
    models.model = SimpleNamespace(spec=describe(FakeEngine(), "2"))
    model, second = decoder.decode(infer_request(X), never)
    assert model is models.model
    assert first.outputs[0].spec is not second.outputs[0].spec


def test_another_batch_or_a_wrong_length_is_not_taken_for_the_same() -> None:
    decoder = DecodeMemo(Models().find, Limits())
    decoder.decode(infer_request(X), never)
    two = np.concatenate([X, X])
    _, request = decoder.decode(infer_request(two), never)
    assert request.samples == 2
    failed: list[BaseException] = []
    short = infer_request(X)[: -X.nbytes - 1] + bytes([X.nbytes - 4]) + X.tobytes()[4:]
    with pytest.raises(RequestError, match="raw_input_contents has"):
        decoder.decode(short, lambda _, error: failed.append(error))
    assert len(failed) == 1


def test_places_for_outputs_are_looked_at_every_time() -> None:
    """A region may have been unregistered since, and then nothing is to be computed for it."""
    gone = GoneMemory()
    request = message("inference.ModelInferRequest")(model_name="fake")
    request.inputs.add(name="image", datatype="FP32", shape=X.shape)
    output = request.outputs.add(name="logits")
    output.parameters["shared_memory_region"].string_param = "r"
    output.parameters["shared_memory_byte_size"].int64_param = 16
    whole = join(request.SerializeToString(), RAW_INPUT, [X.tobytes()])
    decoder = DecodeMemo(Models().find, Limits())
    _, decoded = decoder.decode(whole, never, gone)
    assert decoded.outputs[0].place is not None
    assert decoder._known
    gone.gone = True
    failed: list[BaseException] = []
    with pytest.raises(RequestError, match="register it"):
        decoder.decode(whole, lambda _, error: failed.append(error), gone)
    assert len(failed) == 1


def test_other_datatypes_are_decoded_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = DecodeMemo(Models().find, Limits())
    calls: list[object] = []

    def decode(parsed: Any, *more: Any) -> Any:
        calls.append(parsed)
        return decode_request(parsed, *more)

    monkeypatch.setattr(memo, "decode_request", decode)
    request = message("inference.ModelInferRequest")(model_name="fake")
    request.inputs.add(name="image", datatype="INT32", shape=X.shape)
    whole = join(request.SerializeToString(), RAW_INPUT, [X.astype("<i4").tobytes()])
    for _ in range(2):
        _, decoded = decoder.decode(whole, never)
        np.testing.assert_array_equal(decoded.inputs["image"], X)
    assert len(calls) == 2


def test_what_is_remembered_is_bounded() -> None:
    decoder = DecodeMemo(Models().find, Limits())
    for number in range(3 * MAX_REQUESTS):
        decoder.decode(infer_request(X, id=str(number)), never)
    assert len(decoder._known) == MAX_REQUESTS
