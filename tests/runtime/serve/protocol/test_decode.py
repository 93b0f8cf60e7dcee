# SPDX-License-Identifier: Apache-2.0
"""Requests of every wrong kind: each is refused in words that name the defect."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.serve.errors import BodyTooLargeError, RequestError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.decode import decode_request
from aio.runtime.serve.protocol.schema import InferRequest, ModelSpec, TensorSpec

IMAGE = TensorSpec("image", (1, 2, 2))
LOGITS = TensorSpec("logits", (3,), ("a", "b", "c"))
EMBEDDING = TensorSpec("embedding", (5,))
MODEL = ModelSpec("m", "1", (IMAGE,), (LOGITS, EMBEDDING), levels=4)
TWO_INPUTS = ModelSpec("m", "1", (IMAGE, TensorSpec("mask", (1,))), (LOGITS,), levels=1)
LIMITS = Limits(batch=3, json_bytes=2000)
GOOD: dict[str, Any] = {
    "id": "7",
    "parameters": {},
    "inputs": [{"name": "image", "shape": [1, 1, 2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}],
}


def decode(root: object, model: ModelSpec = MODEL) -> InferRequest:
    return decode_request(json.dumps(root).encode(), None, model, LIMITS)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    root = copy.deepcopy(GOOD)
    change(root)
    return root


def image(**members: object) -> dict[str, Any]:
    return changed(lambda root: root["inputs"][0].update(members))


def parameters(**members: object) -> dict[str, Any]:
    return {**GOOD, "parameters": members}


def outputs(*members: object) -> dict[str, Any]:
    return {**GOOD, "outputs": list(members)}


def test_the_good_request() -> None:
    request = decode(GOOD)
    assert request.request_id == "7"
    np.testing.assert_array_equal(request.inputs["image"].ravel(), [1, 2, 3, 4])
    assert [(item.spec, item.binary, item.classes) for item in request.outputs] == [
        (LOGITS, False, 0),
        (EMBEDDING, False, 0),
    ]
    assert request.level is None
    assert request.timeout_ms is None


def test_outputs_come_as_asked_and_override_the_request() -> None:
    root = outputs(
        {"name": "embedding", "parameters": {"binary_data": False}},
        {"name": "logits", "parameters": {"classification": 3}},
    )
    root["parameters"] = {"binary_data_output": True}
    found = [(item.spec, item.binary, item.classes) for item in decode(root).outputs]
    assert found == [(EMBEDDING, False, 0), (LOGITS, True, 3)]


def test_parameters_that_are_understood() -> None:
    request = decode(parameters(aio_level=3, timeout=1500, priority=1, anything="else"))
    assert (request.level, request.timeout_ms, request.priority) == (3, 1.5, 1)
    assert decode(parameters(timeout=0)).timeout_ms is None


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ([], "the request must be a JSON object"),
        (None, "the request must be a JSON object"),
        ({}, "inputs must be a list"),
        ({"inputs": {}}, "inputs must be a list"),
        ({"inputs": []}, "inputs must be a list"),
        ({"inputs": [1]}, "each of inputs must be a JSON object"),
        ({"inputs": [{}]}, "no tensor is named None, the model has image"),
        (image(name="other"), "no tensor is named 'other'"),
        (image(name=["image"]), "no tensor is named"),
        (image(name="x" * 10_000), "no tensor is named"),
        (changed(lambda root: root["inputs"].append(root["inputs"][0])), "is there twice"),
        (image(datatype="INT4"), "datatype must be one of FP32, FP16"),
        (image(datatype=None), "got None"),
        (image(datatype=["FP32"]), "got ['FP32']"),
        (image(datatype="BYTES"), "datatype BYTES holds strings or files"),
        (image(datatype="BF16"), "JSON has no BF16"),
        (image(shape=None), "shape must be [batch, 1, 2, 2], got None"),
        (image(shape="1122"), "shape must be"),
        (image(shape=[]), "shape must be"),
        (image(shape=[1, 2, 2]), "shape must be"),
        (image(shape=[1, 1, 2, 2, 1]), "shape must be"),
        (image(shape=[1, 2, 2, 1]), "shape must be"),
        (image(shape=[1.0, 1, 2, 2]), "shape must be"),
        (image(shape=[True, 1, 2, 2]), "shape must be"),
        (image(shape=["1", 1, 2, 2]), "shape must be"),
        (image(shape=[[1], 1, 2, 2]), "shape must be"),
        (image(shape=[1, 1, 2, 10**30]), "shape must be"),
        (image(shape=[0, 1, 2, 2]), "batch must be 1 to 3, got 0"),
        (image(shape=[-1, 1, 2, 2]), "batch must be 1 to 3, got -1"),
        (image(shape=[4, 1, 2, 2]), "batch must be 1 to 3, got 4"),
        (image(shape=[10**30, 1, 2, 2]), "batch must be 1 to 3"),
        (image(shape=[2, 1, 2, 2]), "needs 8 elements, data has 4"),
        (image(parameters=[]), "parameters of input 'image' must be a JSON object"),
        (image(parameters={"shared_memory_region": "r"}), "shared_memory_byte_size must be"),
        (
            image(parameters={"shared_memory_region": "r", "shared_memory_byte_size": 16}),
            "give either data or shared_memory_region",
        ),
        (image(parameters={"aio_level": 1}), "input 'image': no parameter is named 'aio_level'"),
        (outputs({"name": "logits", "parameters": {"aio_x": 1}}), "those of the request are aio_l"),
        (image(parameters={"binary_data_size": 16}), "either data or binary_data_size"),
        (outputs(1), "each of outputs must be a JSON object"),
        (outputs({"name": "other"}), "the model has logits, embedding"),
        (outputs({"name": "logits"}, {"name": "logits"}), "'logits' is there twice"),
        ({**GOOD, "outputs": "logits"}, "outputs must be a list"),
        (outputs({"name": "logits", "parameters": {"classification": 4}}), "must be 1 to 3, got 4"),
        (outputs({"name": "logits", "parameters": {"classification": -1}}), "got -1"),
        (outputs({"name": "logits", "parameters": {"classification": True}}), "got True"),
        (outputs({"name": "logits", "parameters": {"classification": 1.5}}), "got 1.5"),
        (outputs({"name": "logits", "parameters": {"binary_data": 1}}), "true or false, got 1"),
        (parameters(binary_data_output="yes"), "true or false, got 'yes'"),
        (parameters(sequence_id=4), "sequence_id is 4, but no model here keeps"),
        (parameters(aio_level=4), "aio_level must be 0 to 3, got 4"),
        (parameters(aio_level=-1), "got -1"),
        (parameters(aio_level=True), "got True"),
        (parameters(aio_level="1"), "got '1'"),
        (parameters(aio_levels=1), "no parameter is named 'aio_levels'; those of the request"),
        (parameters(timeout=-1), "got -1"),
        (parameters(timeout=1.5), "got 1.5"),
        (parameters(timeout=True), "got True"),
        (parameters(timeout=10**300), "whole microseconds"),
        (parameters(priority=-1), "priority must be a whole number, 1 the most urgent"),
        (parameters(priority=2**64), "priority must be"),
        (parameters(priority=True), "got True"),
        (parameters(priority="high"), "got 'high'"),
        ({**GOOD, "parameters": []}, "parameters of the request must be a JSON object"),
        ({**GOOD, "id": 7}, "id must be a string"),
        ({**GOOD, "id": "x" * 257}, "id must be a string of at most 256"),
    ],
)
def test_what_is_wrong_is_named(root: object, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_request(json.dumps(root).encode(), None, MODEL, Limits(batch=3))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(("batch", "in_parts"), [(0, False), (-1, False), (4, True)])
def test_only_a_batch_that_is_too_large_can_be_sent_in_parts(batch: int, in_parts: bool) -> None:
    body = json.dumps(image(shape=[batch, 1, 2, 2])).encode()
    with pytest.raises(RequestError, match=f"batch must be 1 to 3, got {batch}") as caught:
        decode_request(body, None, MODEL, Limits(batch=3))
    assert ("parts" in str(caught.value)) == in_parts


@pytest.mark.parametrize("value", [0, "", None])
def test_a_request_may_say_that_it_is_part_of_no_sequence(value: object) -> None:
    assert decode(parameters(sequence_id=value)).priority == 0


def test_null_is_the_same_as_nothing() -> None:
    request = decode(image(parameters=None) | {"id": None, "outputs": None, "parameters": None})
    assert request.request_id is None
    assert [item.spec for item in request.outputs] == [LOGITS, EMBEDDING]


def test_a_parameter_that_is_null_is_not_there() -> None:
    names = ("timeout", "priority", "aio_level", "binary_data_output", "anything else")
    request = decode(parameters(**dict.fromkeys(names)))
    assert (request.timeout_ms, request.priority, request.level) == (None, 0, None)
    assert request.outputs == decode(GOOD).outputs
    nulls = dict.fromkeys(("binary_data", "classification", "shared_memory_region"))
    output = decode(outputs({"name": "logits", "parameters": nulls})).outputs
    assert output == decode(outputs({"name": "logits"})).outputs
    assert len(decode(image(parameters={"binary_data_size": None})).inputs["image"]) == 1
    with pytest.raises(RequestError, match="no parameter is named 'aio_levels'"):
        decode(parameters(aio_levels=None))  # misspelled all the same


def test_an_input_that_is_missing() -> None:
    with pytest.raises(RequestError, match="input 'mask' is missing"):
        decode(GOOD, TWO_INPUTS)


MASK: dict[str, Any] = {"name": "mask", "shape": [1, 1], "datatype": "FP32", "data": [5]}


def test_several_inputs_come_by_name_in_any_order() -> None:
    for inputs in ([MASK, *GOOD["inputs"]], [*GOOD["inputs"], MASK]):
        request = decode({"inputs": inputs}, TWO_INPUTS)
        assert {name: x.shape for name, x in request.inputs.items()} == {
            "image": (1, 1, 2, 2),
            "mask": (1, 1),
        }


def test_several_binary_inputs_follow_the_order_of_the_request() -> None:
    entries = [
        {
            "name": name,
            "shape": shape,
            "datatype": "FP32",
            "parameters": {"binary_data_size": 4 * size},
        }
        for name, shape, size in (("mask", [1, 1], 1), ("image", [1, 1, 2, 2], 4))
    ]
    text = json.dumps({"inputs": entries}).encode()
    raw = np.arange(5, dtype="<f4").tobytes()
    request = decode_request(text + raw, len(text), TWO_INPUTS, LIMITS)
    assert request.inputs["mask"].ravel().tolist() == [0]
    assert request.inputs["image"].ravel().tolist() == [1, 2, 3, 4]


def test_inputs_of_different_batches_are_refused() -> None:
    mask = MASK | {"shape": [2, 1], "data": [5, 6]}
    with pytest.raises(RequestError, match="'mask' has a batch of 2, input 'image' one of 1: all"):
        decode({"inputs": [*GOOD["inputs"], mask]}, TWO_INPUTS)


def test_a_raw_body_needs_a_model_of_one_input() -> None:
    with pytest.raises(RequestError, match="needs a model with one input, this model has 2"):
        decode_request(bytes(16), 0, TWO_INPUTS, LIMITS)


def test_json_over_its_limit() -> None:
    with pytest.raises(BodyTooLargeError, match="limit is 2000; send tensors as binary"):
        decode({**GOOD, "padding": "x" * 2000})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[" + b"[]," * 10_050 + b"[]]", "10052 times '['"),
        (b"[" + b"{}," * 10_000 + b"{}]", "10001 times '{'"),
        (b'["' + b'","' * 5_000 + b'"]', "10002 times '\"'"),
        (b'{"a":' * 10_001, "10001 times '{'"),
    ],
)
def test_more_structure_than_any_request_needs(text: bytes, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_request(text, None, MODEL, Limits(batch=10))
    assert said in str(caught.value)


def test_the_largest_nested_batch_has_not_too_much_structure() -> None:
    tall = ModelSpec("m", "1", (TensorSpec("image", (2, 50, 1)),), (LOGITS,), levels=1)
    x = np.zeros((200, 2, 50, 1))
    root = changed(lambda root: root["inputs"][0].update(shape=list(x.shape), data=x.tolist()))
    text = json.dumps(root).encode()
    request = decode_request(text, None, tall, Limits(batch=200))
    assert request.inputs["image"].shape == x.shape


def binary_body(size: object = 16, tail: bytes = bytes(16)) -> tuple[bytes, int]:
    root = changed(lambda root: root["inputs"][0].pop("data"))
    root["inputs"][0]["parameters"] = {"binary_data_size": size}
    text = json.dumps(root).encode()
    return text + tail, len(text)


def test_binary_input() -> None:
    x = np.array([1, -2, 3.5, np.inf], dtype="<f4")
    body, length = binary_body(tail=x.tobytes())
    request = decode_request(body, length, MODEL, LIMITS)
    np.testing.assert_array_equal(request.inputs["image"].ravel(), x)


@pytest.mark.parametrize(
    ("size", "tail", "said"),
    [
        (15, 15, "takes 16 bytes"),
        (16, 15, "only 15 bytes follow"),
        (16, 0, "only 0 bytes follow"),
        (16, 17, "1 bytes after the JSON belong to no input"),
    ],
)
def test_binary_lengths_that_do_not_fit(size: int, tail: int, said: str) -> None:
    body, length = binary_body(size, bytes(tail))
    with pytest.raises(RequestError, match=said):
        decode_request(body, length, MODEL, LIMITS)


def test_binary_data_without_the_header() -> None:
    body, _ = binary_body()
    with pytest.raises(RequestError, match=r"not valid JSON|not UTF-8"):
        decode_request(body, None, MODEL, LIMITS)
    body, _ = binary_body(tail=b"")
    with pytest.raises(RequestError, match="check Inference-Header-Content-Length"):
        decode_request(body, None, MODEL, LIMITS)


def test_raw_request_is_one_sample_and_answered_in_binary() -> None:
    x = np.array([1, 2, 3, 4], dtype="<f4")
    request = decode_request(x.tobytes(), 0, MODEL, LIMITS)
    assert request.inputs["image"].shape == (1, 1, 2, 2)
    assert all(output.binary for output in request.outputs)
    with pytest.raises(RequestError, match="takes 16 bytes"):
        decode_request(bytes(32), 0, MODEL, LIMITS)
    with pytest.raises(RequestError, match="one input, this model has 2"):
        decode_request(bytes(16), 0, TWO_INPUTS, LIMITS)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
PATHS = st.sampled_from(
    [
        ("id",),
        ("parameters",),
        ("parameters", "timeout"),
        ("parameters", "aio_level"),
        ("parameters", "binary_data_output"),
        ("inputs",),
        ("inputs", 0),
        ("inputs", 0, "name"),
        ("inputs", 0, "shape"),
        ("inputs", 0, "shape", 0),
        ("inputs", 0, "datatype"),
        ("inputs", 0, "data"),
        ("inputs", 0, "data", 0),
        ("inputs", 0, "parameters"),
        ("outputs",),
    ]
)


@given(PATHS, JSON_VALUES)
def test_any_value_anywhere_is_taken_or_refused(path: tuple[Any, ...], value: object) -> None:
    root = copy.deepcopy(GOOD)
    place: Any = root
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        request = decode(root)
    except RequestError:
        return
    assert request.inputs["image"].shape[1:] == IMAGE.shape
    assert np.isfinite(request.inputs["image"]).all()
