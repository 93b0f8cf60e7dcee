# SPDX-License-Identifier: Apache-2.0
"""Requests that are looked up must be those that decoding would give."""

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, tensor_binary
from gone_memory import GoneMemory

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.hosting.engine import describe
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.decode import decode_request
from aio.runtime.serve.rest import memo
from aio.runtime.serve.rest.memo import DecodeMemo

SPEC = describe(FakeEngine(), "1")
LIMITS = Limits()


def aligned(
    x: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", **members: object
) -> tuple[memoryview, int]:
    """Return a request whose tensor is aligned, and the length of its JSON."""
    body, headers = tensor_binary(x, id="one", **members)
    length = int(headers["Inference-Header-Content-Length"])
    memory = np.empty(len(body) + 64, np.uint8)
    skip = -(memory.__array_interface__["data"][0] + length) % 64
    view = memory.data[skip : skip + len(body)]
    view[:] = body
    return view, length


def test_the_second_request_of_the_same_json_has_its_own_tensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)
    decoder = DecodeMemo(LIMITS)
    first = decoder.decode(*aligned(one), SPEC)
    monkeypatch.setattr(memo, "decode_request", lambda *_: pytest.fail("decoded again"))
    second = decoder.decode(*aligned(-one), SPEC)
    np.testing.assert_array_equal(first.inputs["image"], one)
    np.testing.assert_array_equal(second.inputs["image"], -one)
    assert second.inputs["image"].shape == one.shape
    assert (second.request_id, second.outputs) == (first.request_id, first.outputs)


def test_memory_that_is_not_aligned_is_decoded_again() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)
    decoder = DecodeMemo(LIMITS)
    body, length = aligned(x)
    decoder.decode(body, length, SPEC)
    moved = memoryview(bytearray(len(body) + 1))[1:]
    moved[:] = body
    request = decoder.decode(moved, length, SPEC)
    assert request.inputs["image"].flags.aligned
    np.testing.assert_array_equal(request.inputs["image"], x)


def test_a_shorter_payload_after_the_same_json_is_refused() -> None:
    body, length = aligned(np.zeros((1, *SHAPE), np.float32))
    decoder = DecodeMemo(LIMITS)
    decoder.decode(body, length, SPEC)
    with pytest.raises(RequestError, match="only 23 bytes follow"):
        decoder.decode(body[:-1], length, SPEC)


def test_places_for_outputs_are_looked_at_every_time() -> None:
    """A region may have been unregistered since, and then nothing is to be computed for it."""
    gone = GoneMemory()
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
    outputs = [{"name": "logits", "parameters": place}]
    request = *aligned(np.zeros((1, *SHAPE), np.float32), outputs=outputs), SPEC, gone
    decoder = DecodeMemo(LIMITS)
    assert decoder.decode(*request).outputs[0].place is not None
    assert decoder._known
    gone.gone = True
    with pytest.raises(RequestError, match="register it"):
        decoder.decode(*request)


def test_another_model_does_not_get_what_was_known_of_one() -> None:
    other = describe(FakeEngine(), "2")
    body, length = aligned(np.zeros((1, *SHAPE), np.float32))
    decoder = DecodeMemo(LIMITS)
    assert decoder.decode(body, length, SPEC).outputs[0].spec is SPEC.outputs[0]
    assert decoder.decode(body, length, other).outputs[0].spec is other.outputs[0]


def test_what_is_remembered_is_bounded() -> None:
    decoder = DecodeMemo(LIMITS)
    x = np.zeros((1, *SHAPE), np.float32)
    for number in range(2 * memo.MAX_REQUESTS):
        body, headers = tensor_binary(x, id=str(number))
        length = int(headers["Inference-Header-Content-Length"])
        decoded = decoder.decode(body, length, SPEC)
        expected = decode_request(body, length, SPEC, LIMITS)
        assert decoded.request_id == expected.request_id
    assert len(decoder._known) <= memo.MAX_REQUESTS
