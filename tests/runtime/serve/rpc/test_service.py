# SPDX-License-Identifier: Apache-2.0
"""The methods, over a real connection, around an engine with known answers."""

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import grpc
import numpy as np
import pytest
from fake_engine import (
    CLASSES,
    LABELS,
    SHAPE,
    FakeEngine,
    LiveServer,
    expected,
    record,
    serving,
    tensor_json,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rpc_client import Client, floats, infer_request

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import NO_MEMORY
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc.messages import INFERENCE, message
from aio.runtime.serve.rpc.status import INTERNAL
from aio.runtime.serve.rpc.wire import RAW_INPUT, join

X = np.arange(12, dtype=np.float32).reshape(2, *SHAPE)
Code = grpc.StatusCode
Request = message("inference.ModelInferRequest")


def refused(client: Client, request: bytes) -> str:
    """Return why a request is not valid."""
    with pytest.raises(grpc.RpcError) as caught:
        client.infer(request)
    assert caught.value.code() is Code.INVALID_ARGUMENT
    return str(caught.value.details())


def test_health_and_metadata(client: Client) -> None:
    assert client.call("ServerLive").live
    assert client.call("ServerReady").ready
    server = client.call("ServerMetadata")
    assert server.name == "aio-serve"
    assert "classification" in server.extensions
    assert client.call("ModelReady", name="fake").ready
    assert client.call("ModelReady", name="fake", version="1").ready
    model = client.call("ModelMetadata", name="fake")
    assert (model.name, model.platform) == ("fake", "aio_safetensors")
    assert [(item.name, item.datatype, list(item.shape)) for item in model.inputs] == [
        ("image", "FP32", [-1, *SHAPE])
    ]
    assert [(item.name, list(item.shape)) for item in model.outputs] == [("logits", [-1, CLASSES])]


def test_the_config_tells_of_merging() -> None:
    engine = FakeEngine()
    with (
        serving(lambda: engine, Limits(merged_batch=8, merge_wait_ms=1.5), grpc=True) as live,
        closing(Client(live.grpc)) as client,
    ):
        live.wait_for(live.announced.is_set)
        merging = client.call("ModelConfig", name="fake").config.dynamic_batching
        assert list(merging.preferred_batch_size) == [8]
        assert merging.max_queue_delay_microseconds == 1500


def test_config(client: Client) -> None:
    config = client.call("ModelConfig", name="fake").config
    assert (config.name, config.max_batch_size) == ("fake", 1024)
    assert not config.HasField("dynamic_batching")
    assert [(item.name, list(item.dims)) for item in config.input] == [("image", list(SHAPE))]
    assert [(item.name, item.data_type) for item in config.output] == [("logits", 11)]


@pytest.mark.parametrize("model", [("other", ""), ("fake", "2"), ("", "")])
def test_an_unknown_model_is_not_ready(client: Client, model: tuple[str, str]) -> None:
    assert not client.call("ModelReady", name=model[0], version=model[1]).ready


@pytest.mark.parametrize("name", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
@pytest.mark.parametrize("model", [("other", ""), ("fake", "2")])
def test_unknown_models(client: Client, name: str, model: tuple[str, str]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.call(name, name=model[0], version=model[1])
    assert caught.value.code() is Code.NOT_FOUND


@pytest.mark.parametrize("typed", [False, True])
def test_infer(client: Client, typed: bool) -> None:
    answer = client.infer(infer_request(X, typed=typed, id="seven"))
    np.testing.assert_array_equal(floats(answer), expected(X))
    assert (answer.model_name, answer.model_version, answer.id) == ("fake", "1", "seven")
    assert [(item.name, item.datatype) for item in answer.outputs] == [("logits", "FP32")]
    assert answer.parameters["aio_level"].int64_param == 0
    assert answer.parameters["aio_ratio"].double_param == 0.0
    assert answer.parameters["aio_plan"].string_param == "level 0"
    assert answer.parameters["aio_predicted_ms"].double_param == 0.25
    assert answer.parameters["aio_reason"].string_param == "fits the target"


def test_a_reading_that_is_missing_is_left_out(client: Client, engine: FakeEngine) -> None:
    engine.record = record(cpu_khz=None, predicted_ms=None)
    parameters = client.infer(infer_request(X)).parameters
    assert "aio_cpu_khz" not in parameters
    assert "aio_predicted_ms" not in parameters


def test_a_tensor_at_any_place_of_the_message(client: Client) -> None:
    for length in range(1, 9):
        answer = client.infer(infer_request(X, id="x" * length))
        np.testing.assert_array_equal(floats(answer), expected(X))


def test_nan_and_infinity_pass(client: Client) -> None:
    x = np.full((1, *SHAPE), np.nan, np.float32)
    x[0, 0, 0] = np.inf
    np.testing.assert_array_equal(floats(client.infer(infer_request(x))), expected(x))


def test_classification(client: Client) -> None:
    request = Request.FromString(infer_request(X))
    request.outputs.add(name="logits").parameters["classification"].int64_param = 2
    answer = client.infer(request.SerializeToString())
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == ("BYTES", [2, 2])
    entries = []
    raw = answer.raw_output_contents[0]
    while raw:
        size = int.from_bytes(raw[:4], "little")
        entries.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    assert [entry.split(":")[2] for entry in entries] == [LABELS[3], LABELS[2]] * 2


def test_level_and_timeout(client: Client, engine: FakeEngine) -> None:
    level = {"aio_level": {"int64_param": 2}, "timeout": {"int64_param": 10_000_000}}
    client.infer(infer_request(X, parameters=level))
    ((shape, deadline_ms, chosen),) = engine.calls
    assert (shape, chosen) == (X.shape, 2)
    assert deadline_ms is not None
    assert 0 < deadline_ms < 10_000


def test_the_deadline_of_the_call_is_a_timeout(client: Client, engine: FakeEngine) -> None:
    client.infer(infer_request(X), timeout=None)
    client.infer(infer_request(X), timeout=20)
    assert engine.calls[0][1] is None
    assert engine.calls[1][1] is not None
    assert 0 < engine.calls[1][1] < 21_000  # the library rounds it up


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": []}, "inputs must be a list of tensors"),
        ({"inputs": [{"name": "other"}]}, "no tensor is named 'other', the model has image"),
        ({"inputs": [{"name": "image", "datatype": "X"}]}, "datatype"),
        ({"inputs": [{"name": "image", "datatype": "FP32"}]}, r"shape must be [batch, 1, 2, 3]"),
        ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 2, 3]}]}, "batch"),
        ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [2**62, 1, 2, 3]}]}, "batch"),
        ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [2, 1, 2, 3]}] * 2}, "2"),
        ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 2, 3]}]}, "24 bytes"),
        ({"outputs": [{"name": "other"}]}, "no tensor is named 'other', the model has logits"),
        ({"outputs": [{"name": "logits"}] * 2}, "twice"),
        ({"parameters": {"aio_level": {"int64_param": 3}}}, "aio_level must be 0 to 2, got 3"),
        ({"parameters": {"aio_level": {"string_param": "1"}}}, "aio_level must be"),
        ({"parameters": {"aio_level": {"bool_param": True}}}, "aio_level must be"),
        ({"parameters": {"aio_other": {}}}, "no parameter is named"),
        ({"parameters": {"timeout": {"int64_param": -1}}}, "timeout must be"),
        ({"parameters": {"sequence_id": {"int64_param": 1}}}, "sequence_id is 1, but"),
        ({"id": "x" * 300}, "id must be a string of at most"),
    ],
)
def test_wrong_requests(client: Client, changes: dict[str, Any], said: str) -> None:
    request = Request.FromString(infer_request(X))
    for name in changes:
        request.ClearField(name)
    if changes.get("inputs") == []:
        request.ClearField("raw_input_contents")
    request.MergeFrom(Request(**changes))
    assert said in refused(client, request.SerializeToString())


def test_wrong_tensors(client: Client) -> None:
    raw, typed = infer_request(X), infer_request(X, typed=True)
    assert "not both" in refused(client, join(typed, RAW_INPUT, [X.tobytes()]))
    assert "2 tensors for 1 inputs" in refused(client, join(raw, RAW_INPUT, [b""]))
    assert "there is no data" in refused(client, raw[: -len(X.tobytes()) - 2])
    request = Request.FromString(typed)
    request.inputs[0].contents.fp32_contents.append(1)
    assert "fp32_contents has 13" in refused(client, request.SerializeToString())
    request.inputs[0].contents.bool_contents.append(True)
    assert "bool_contents" in refused(client, request.SerializeToString())
    assert "protobuf" in refused(client, b"\xff\xff\xff")
    assert "protobuf" in refused(client, b"\x2a\x03\xff\xff\xff")


def test_the_messages_are_those_of_http(client: Client, live: LiveServer) -> None:
    wrong = {"parameters": {"aio_level": 9}}
    over_grpc = refused(client, infer_request(X, parameters={"aio_level": {"int64_param": 9}}))
    assert over_grpc == live.infer(tensor_json(X, **wrong)).json["error"]


def test_errors_of_the_engine(client: Client, engine: FakeEngine) -> None:
    for error, code, details in (
        (AioError("told"), Code.INTERNAL, "told"),
        (ValueError("secret"), Code.INTERNAL, INTERNAL),
        (MemoryError("for experts"), Code.UNAVAILABLE, NO_MEMORY),
    ):
        engine.error = error
        with pytest.raises(grpc.RpcError) as caught:
            client.infer(infer_request(X))
        assert (caught.value.code(), caught.value.details()) == (code, details)


def test_requests_are_counted(client: Client, live: LiveServer) -> None:
    def counted() -> list[str]:
        lines = live.request("GET", "/metrics").body.decode().splitlines()
        return [line for line in lines if line.startswith("nv_inference_request")]

    before = counted()
    client.infer(infer_request(X))
    refused(client, infer_request(X[:, :, :1]))
    assert counted() != before


# Values of each datatype, and the field of typed contents that they go in; FP16 and BF16 have none.
DATATYPES = [
    ("BOOL", "?", [0, 1], "bool_contents"),
    ("INT8", "<i1", [-128, 127], "int_contents"),
    ("INT16", "<i2", [-(2**15), 2**15 - 1], "int_contents"),
    ("INT32", "<i4", [-(2**24), 2**24], "int_contents"),
    ("INT64", "<i8", [-(2**40), 2**40], "int64_contents"),
    ("UINT8", "<u1", [0, 255], "uint_contents"),
    ("UINT16", "<u2", [0, 2**16 - 1], "uint_contents"),
    ("UINT32", "<u4", [0, 2**31], "uint_contents"),
    ("UINT64", "<u8", [0, 2**63], "uint64_contents"),
    ("FP32", "<f4", [-1.5, 3e38], "fp32_contents"),
    ("FP64", "<f8", [-1.5, 1e38], "fp64_contents"),
    ("FP16", "<f2", [-1.5, 65504.0], None),
]


def of_datatype(name: str, contents: str | None, values: list[Any], raw: bytes | None) -> bytes:
    request = Request(model_name="fake")
    tensor = request.inputs.add(name="image", datatype=name, shape=[1, *SHAPE])
    if raw is not None:
        request.raw_input_contents.append(raw)
    elif contents is not None:
        getattr(tensor.contents, contents).extend(values)
    return bytes(request.SerializeToString())


@pytest.mark.parametrize(("name", "raw", "values", "contents"), DATATYPES)
def test_datatypes(
    client: Client, name: str, raw: str, values: list[Any], contents: str | None
) -> None:
    x = np.array(values * 3, raw)
    y = expected(x.astype(np.float32).reshape(1, *SHAPE))
    answer = client.infer(of_datatype(name, None, [], x.tobytes()))
    np.testing.assert_array_equal(floats(answer), y)
    assert "its raw_input_contents has" in refused(
        client, of_datatype(name, None, [], x.tobytes()[1:])
    )
    if contents is not None:
        answer = client.infer(of_datatype(name, contents, x.tolist(), None))
        np.testing.assert_array_equal(floats(answer), y)


def test_typed_contents_beyond_the_datatype(client: Client) -> None:
    wrong = of_datatype("INT8", "int_contents", [128] * 6, None)
    assert "beyond the range of INT8, 128" in refused(client, wrong)
    wrong = of_datatype("FP64", "fp64_contents", [1e300] * 6, None)
    assert "beyond the range of FP32" in refused(client, wrong)
    wrong = of_datatype("FP16", "fp32_contents", [1.0] * 6, None)
    assert "contents has no FP16; give raw_input_contents" in refused(client, wrong)
    wrong = of_datatype("INT8", "int64_contents", [1] * 6, None)
    assert "INT8 goes into int_contents, found int64_contents" in refused(client, wrong)


def test_the_index_of_one_file(client: Client) -> None:
    models = client.call("RepositoryIndex").models
    assert [(model.name, model.version, model.state) for model in models] == [
        ("fake", "1", "READY")
    ]
    for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
        with pytest.raises(grpc.RpcError) as caught:
            client.call(name, model_name="fake")
        assert caught.value.code() is Code.PERMISSION_DENIED


TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["image", "", "other"]),
        "datatype": st.sampled_from(["FP32", "INT8", "BYTES", "", "FP32\0"]),
        "shape": st.lists(
            st.sampled_from([1, 2, 3, 0, -1, 1024, 2**31, 2**63 - 1, -(2**63)]), max_size=5
        )
        | st.just([1, *SHAPE]),
    },
    optional={
        "contents": st.sampled_from(
            [{}, {"fp32_contents": [0.0] * 6}, {"int_contents": [1] * 6}, {"bytes_contents": [b""]}]
        )
    },
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["timeout", "priority", "aio_level", "binary_data_size", "sequence_id", "x"]),
    st.sampled_from(
        [
            {},
            {"int64_param": -1},
            {"int64_param": 0},
            {"uint64_param": 2**64 - 1},
            {"string_param": "1"},
            {"double_param": float("nan")},
            {"bool_param": True},
        ]
    ),
    max_size=2,
)
REQUESTS = st.builds(
    Request,
    model_name=st.just("fake"),
    inputs=st.lists(TENSORS, max_size=3),
    outputs=st.lists(st.fixed_dictionaries({"name": st.sampled_from(["logits", "x"])}), max_size=2),
    parameters=PARAMETERS,
    raw_input_contents=st.lists(
        st.sampled_from([b"", b"\0" * 24, b"\xff" * 24, b"\0" * 23, b"\0" * 48]), max_size=3
    ),
)
SAMPLE = infer_request(X[:1])


@settings(max_examples=300, deadline=None)
@given(request=REQUESTS)
def test_random_requests_are_answered_or_refused(shared_client: Client, request: Any) -> None:
    code = shared_client.code_of(request.SerializeToString())
    assert code in {Code.OK, Code.INVALID_ARGUMENT}
    np.testing.assert_array_equal(floats(shared_client.infer(SAMPLE)), expected(X[:1]))


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(SAMPLE) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_requests_are_answered_or_refused(
    shared_client: Client, at: int, value: int, cut: bool
) -> None:
    damaged = SAMPLE[:at] if cut else SAMPLE[:at] + bytes([value]) + SAMPLE[at + 1 :]
    code = shared_client.code_of(damaged)
    assert code in {Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND}
    np.testing.assert_array_equal(floats(shared_client.infer(SAMPLE)), expected(X[:1]))


def test_a_stream_answers_in_order_and_survives_errors(client: Client) -> None:
    requests = [infer_request(X + i, id=str(i)) for i in range(5)]
    requests[2] = infer_request(X, model="other", id="2")
    path = f"/{INFERENCE}/ModelStreamInfer"
    parse = message("inference.ModelStreamInferResponse").FromString
    answers = [parse(data) for data in client.channel.stream_stream(path)(iter(requests))]
    assert [bool(answer.error_message) for answer in answers] == [False, False, True, False, False]
    assert "no model is named 'other'" in answers[2].error_message
    for i, answer in enumerate(answers):
        assert answer.infer_response.id == str(i)
        assert answer.infer_response.model_name == ("other" if i == 2 else "fake")
        assert answer.infer_response.parameters["triton_final_response"].bool_param
    assert "triton_final_response" not in client.infer(requests[0]).parameters
    for i in (0, 1, 3, 4):
        assert answers[i].infer_response.parameters["aio_level"].int64_param == 0
        np.testing.assert_array_equal(floats(answers[i].infer_response), expected(X + i))


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],  # a tensor that is cut off
        lambda whole: whole + b"\x2a\x01\xff",  # an input that is none
        lambda whole: whole + b"\x0b",
        lambda whole: whole + b"\x3a\x00",  # one tensor too many
    ],
)
def test_a_damaged_message_of_a_stream_is_answered_as_whose_it_is(
    client: Client, damage: Callable[[bytes], bytes]
) -> None:
    whole = damage(infer_request(X, id="seven", model_version="1"))
    path = f"/{INFERENCE}/ModelStreamInfer"
    parse = message("inference.ModelStreamInferResponse").FromString
    requests = iter([whole, b"\xff", infer_request(X)])
    failed, nobody, good = map(parse, client.channel.stream_stream(path)(requests))
    found = failed.infer_response
    assert failed.error_message
    assert (found.model_name, found.model_version, found.id) == ("fake", "1", "seven")
    assert nobody.error_message
    assert nobody.infer_response.id == ""
    assert all(
        answer.infer_response.parameters["triton_final_response"].bool_param
        for answer in (failed, nobody, good)
    )
    np.testing.assert_array_equal(floats(good.infer_response), expected(X))


def test_until_the_model_is_loaded() -> None:
    release = threading.Event()

    def load() -> FakeEngine:
        release.wait(30)
        return FakeEngine()

    with serving(load, grpc=True) as live, closing(Client(live.grpc)) as client:
        try:
            assert client.call("ServerLive").live
            assert not client.call("ServerReady").ready
            assert not client.call("ModelReady", name="fake").ready
            assert client.health() == 2
            with pytest.raises(grpc.RpcError) as caught:
                client.infer(infer_request(X))
            assert caught.value.code() is Code.UNAVAILABLE
            trailers = dict(caught.value.trailing_metadata())
            assert int(trailers["retry-after-ms"]) >= 1
        finally:
            release.set()
        live.wait_for(live.announced.is_set)
        assert client.call("ServerReady").ready
        assert client.health() == client.health("fake") == 1
