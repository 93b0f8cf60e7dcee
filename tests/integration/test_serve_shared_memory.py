# SPDX-License-Identifier: Apache-2.0
"""Tensors in shared memory between tritonclient and the real server."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc  # type: ignore[import-untyped]
import tritonclient.http as triton_http  # type: ignore[import-untyped]
from serve_process import ServeProcess, environment, serve_process
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]
from tritonclient.utils import shared_memory as shm

from aio.runtime import Runtime

MODEL = "digits"
X = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    folder = tmp_path_factory.mktemp("shared")
    options = "--grpc-port", "0", "--limit", "regions=4", "--level", "0"
    with serve_process(environment(folder), *options) as server:
        yield server


@pytest.fixture(params=["http", "grpc"])
def transport(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = {"http": triton_http, "grpc": triton_grpc}[request.param]
    return found


@pytest.fixture
def client(server: ServeProcess, transport: ModuleType) -> Iterator[Any]:
    place = server.address
    if transport is triton_grpc:
        found = re.search(r"\| grpc (\S+)", server.start_line)
        assert found is not None
        place = found[1]
    with contextlib.closing(transport.InferenceServerClient(place)) as client:
        client.unregister_system_shared_memory()
        yield client
        client.unregister_system_shared_memory()


@contextlib.contextmanager
def region(client: Any, name: str, size: int) -> Iterator[Any]:
    key = f"/aio-test-{os.getpid()}-{name}"
    handle = shm.create_shared_memory_region(name, key, size)
    try:
        client.register_system_shared_memory(name, key, size)
        yield handle
    finally:
        shm.destroy_shared_memory_region(handle)


@pytest.fixture(scope="module")
def logits() -> np.ndarray[Any, Any]:
    with Runtime.load(level=0, calibrate=False) as runtime:
        return runtime.infer(X)


def test_both_ways(client: Any, transport: ModuleType, logits: np.ndarray[Any, Any]) -> None:
    with region(client, "in", X.nbytes + 64) as source, region(client, "out", 1000) as target:
        image = transport.InferInput("image", X.shape, "FP32")
        image.set_shared_memory("in", X.nbytes, offset=64)
        output = transport.InferRequestedOutput("logits")
        output.set_shared_memory("out", logits.nbytes, offset=8)
        for sign in (1, -1, 1):
            shm.set_shared_memory_region(source, [sign * X], offset=64)
            result = client.infer(MODEL, [image], outputs=[output])
            found = shm.get_contents_as_numpy(target, np.float32, logits.shape, offset=8)
            assert np.allclose(found, logits, atol=1e-4) == (sign == 1)
        described = result.get_output("logits")
        assert "aio_level" in str(result.get_response())
        # Of an output with parameters Triton's client in C++ expects the bytes to follow.
        assert "parameters" not in str(described)


def test_one_way_and_other_datatypes(
    client: Any, transport: ModuleType, logits: np.ndarray[Any, Any]
) -> None:
    with region(client, "in", X.nbytes * 2) as source:
        shm.set_shared_memory_region(source, [X.astype(np.float64)])
        image = transport.InferInput("image", X.shape, "FP64")
        image.set_shared_memory("in", X.nbytes * 2)
        found = client.infer(MODEL, [image]).as_numpy("logits")
        np.testing.assert_allclose(found, logits, atol=1e-4)


def test_classes_go_into_the_answer(server: ServeProcess) -> None:
    data = ",".join(["0.5"] * 64)
    tensor = f'{{"name":"image","shape":[1,1,8,8],"datatype":"FP32","data":[{data}]}}'
    place = '"shared_memory_region":"r","shared_memory_byte_size":99'
    output = f'{{"name":"logits","parameters":{{"classification":2,{place}}}}}'
    body = f'{{"inputs":[{tensor}],"outputs":[{output}]}}'.encode()
    with (
        contextlib.closing(triton_http.InferenceServerClient(server.address)) as client,
        region(client, "r", 99),
    ):
        status, answer = server.request("POST", f"/v2/models/{MODEL}/infer", body)
    assert (status, b"either classification or shared_memory_region" in answer) == (400, True)


def test_there_is_no_memory_of_a_gpu(client: Any) -> None:
    client.unregister_cuda_shared_memory()  # as clients do when they end
    status = client.get_cuda_shared_memory_status()
    assert not getattr(status, "regions", status)
    with pytest.raises(InferenceServerException, match="no shared memory region is named 'r'"):
        client.get_cuda_shared_memory_status("r")
    with pytest.raises(InferenceServerException, match="takes no memory of a GPU"):
        client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 4)


def test_the_list_of_regions(client: Any, transport: ModuleType) -> None:
    with region(client, "one", 100), region(client, "two", 200):
        status = client.get_system_shared_memory_status()
        if transport is triton_http:
            sizes = {each["name"]: each["byte_size"] for each in status}
        else:
            sizes = {name: each.byte_size for name, each in status.regions.items()}
        assert sizes == {"one": 100, "two": 200}
        client.unregister_system_shared_memory("one")
        with pytest.raises(transport.InferenceServerException, match="named 'one'"):
            client.get_system_shared_memory_status("one")


@pytest.mark.parametrize(
    ("name", "size", "offset", "said"),
    [
        ("other", X.nbytes, 0, "no shared memory region is named 'other'; register it"),
        ("in", X.nbytes - 4, 0, "takes 768 bytes of FP32, shared_memory_byte_size is 764"),
        ("in", X.nbytes, 4, "768 bytes from 4 are beyond region 'in', which has 768"),
    ],
)
def test_what_is_not_there(
    client: Any, transport: ModuleType, name: str, size: int, offset: int, said: str
) -> None:
    with region(client, "in", X.nbytes):
        image = transport.InferInput("image", X.shape, "FP32")
        image.set_shared_memory(name, size, offset=offset)
        with pytest.raises(transport.InferenceServerException) as caught:
            client.infer(MODEL, [image])
    assert said in str(caught.value)


def test_a_client_that_cuts_its_memory_short(
    client: Any, transport: ModuleType, server: ServeProcess
) -> None:
    with region(client, "in", X.nbytes) as source, region(client, "out", 4096):
        shm.set_shared_memory_region(source, [X])
        image = transport.InferInput("image", X.shape, "FP32")
        image.set_shared_memory("in", X.nbytes)
        client.infer(MODEL, [image])
        os.truncate(Path("/dev/shm") / f"aio-test-{os.getpid()}-in", 0)
        with pytest.raises(transport.InferenceServerException, match="smaller than it was"):
            client.infer(MODEL, [image])
        image.set_data_from_numpy(X)
        output = transport.InferRequestedOutput("logits")
        output.set_shared_memory("out", 120)
        client.infer(MODEL, [image], outputs=[output])
    assert server.request("GET", "/v2/health/ready")[0] == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", b"key must be a string"),
        (b'{"key":"/a","byte_size":1.5}', b"byte_size must be whole bytes, got 1.5"),
        (b'{"key":"/a","byte_size":true}', b"byte_size must be whole bytes, got True"),
        (b'{"key":"/a","offset":"0","byte_size":1}', b"offset must be whole bytes, got '0'"),
        (b'{"key":"/aio-test-absent","byte_size":8.0}', b"No such file or directory"),
    ],
)
def test_regions_that_are_described_wrongly(server: ServeProcess, body: bytes, said: bytes) -> None:
    path = "/v2/systemsharedmemory/region/r/register"
    status, answer = server.request("POST", path, body)
    assert (status, said in answer) == (400, True), answer


def test_both_places_for_one_input(server: ServeProcess) -> None:
    tensor = '{"name":"image","shape":[1,1,8,8],"datatype":"FP32","data":[1],"parameters":%s}'
    parameters = '{"shared_memory_region":"in","shared_memory_byte_size":256}'
    body = f'{{"inputs":[{tensor % parameters}]}}'.encode()
    status, answer = server.request("POST", f"/v2/models/{MODEL}/infer", body)
    assert (status, b"either data or shared_memory_region" in answer) == (400, True)
