# SPDX-License-Identifier: Apache-2.0
"""The real server process over gRPC with the clients people have: Triton's, and plain stubs."""

import asyncio
import contextlib
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton  # type: ignore[import-untyped]
import tritonclient.grpc.aio as triton_aio  # type: ignore[import-untyped]
import tritonclient.http as triton_http  # type: ignore[import-untyped]
from model_parts import ModelBuilder
from rpc_client import Client, floats, infer_request
from serve_process import (
    PATIENCE_S,
    ServeProcess,
    environment,
    serve_command,
    serve_process,
    wait_for,
)

from aio.runtime import Runtime

SHAPE = (1, 28, 28)
X = np.random.default_rng(3).normal(size=(2, *SHAPE)).astype(np.float32)
IN, OUT = "x", "head_out"
# Would fail if an inference server without gRPC had loaded it.
UNUSED = "libprotobuf|_upb|_grpc|nghttp2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve_grpc")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    b = ModelBuilder(SHAPE, (0.0, 0.5, 0.9), (0.99, 0.98, 0.9))
    b.conv("stem", "x", (16, 1, 3, 3), padding=(1, 1, 1, 1), sparse=False)
    b.node("stem_act", "relu", ["stem"])
    b.conv("body", "stem_act", (16, 16, 3, 3), padding=(1, 1, 1, 1))
    b.node("global", "global_avg_pool2d", ["body"])
    b.node("flat", "flatten", ["global"])
    b.linear("head", "flat", (10, 16))
    labels = tuple(f"class {index}" for index in range(10))
    return b.finish(["head"], labels, name="blobs").write(folder / "blobs.aio")


@pytest.fixture(scope="module")
def environ(folder: Path) -> dict[str, str]:
    return environment(folder)


@pytest.fixture(scope="module")
def server(environ: dict[str, str], model: Path) -> Iterator[ServeProcess]:
    with serve_process(environ, model, "--grpc-port", 0) as server:
        yield server


@pytest.fixture(scope="module")
def place(server: ServeProcess) -> str:
    return grpc_place(server)


@pytest.fixture(scope="module")
def reference(model: Path, folder: Path) -> Iterator[Runtime]:
    with Runtime.load(model, calibrate=False, cache_dir=folder / "cache") as runtime:
        yield runtime


def grpc_place(server: ServeProcess) -> str:
    """Return the address in the start line."""
    found = re.search(r" \| grpc (127\.0\.0\.1:\d+)$", server.start_line.rstrip("\n"))
    assert found
    return found[1]


def tensor(library: Any, x: "np.ndarray[Any, np.dtype[np.float32]]" = X) -> Any:
    tensor = library.InferInput(IN, list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    return tensor


def test_triton_client(server: ServeProcess, place: str, reference: Runtime) -> None:
    with triton.InferenceServerClient(place) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("blobs")
        assert client.get_server_metadata().name == "aio-serve"
        assert list(client.get_model_metadata("blobs").inputs[0].shape) == [-1, *SHAPE]
        assert client.get_model_config("blobs").config.max_batch_size >= 1
        assert not client.is_model_ready("other")
        assert not client.is_model_ready("blobs", "2")
        for level in range(3):
            answer = client.infer(
                "blobs",
                [tensor(triton)],
                request_id="seven",
                outputs=[triton.InferRequestedOutput(OUT)],
                parameters={"aio_level": level},
                timeout=10_000_000,
                priority=1,
                client_timeout=PATIENCE_S,
            )
            np.testing.assert_array_equal(answer.as_numpy(OUT), reference.infer(X, level=level))
            assert answer.get_response().id == "seven"
            assert answer.get_response().parameters["aio_level"].int64_param == level
        best = client.infer(
            "blobs", [tensor(triton)], outputs=[triton.InferRequestedOutput(OUT, class_count=2)]
        ).as_numpy(OUT)
        assert best.shape == (2, 2)
        assert all(entry.split(b":")[2].startswith(b"class ") for entry in best.ravel())


def test_the_answers_of_grpc_and_http_are_the_same_bits(server: ServeProcess, place: str) -> None:
    level = {"aio_level": 1}
    with (
        triton.InferenceServerClient(place) as over_grpc,
        contextlib.closing(triton_http.InferenceServerClient(server.address)) as over_http,
    ):
        one = over_grpc.infer("blobs", [tensor(triton)], parameters=level).as_numpy(OUT)
        two = over_http.infer("blobs", [tensor(triton_http)], parameters=level).as_numpy(OUT)
    assert one.tobytes() == two.tobytes()


def test_triton_callbacks_and_stream(server: ServeProcess, place: str, reference: Runtime) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def callback(result: Any, error: Any) -> None:
        answers.put((result, error))

    expected = reference.infer(X, level=0)
    level = {"aio_level": 0}
    with triton.InferenceServerClient(place) as client:
        client.async_infer("blobs", [tensor(triton)], callback, parameters=level)
        result, error = answers.get(timeout=PATIENCE_S)
        assert error is None
        np.testing.assert_array_equal(result.as_numpy(OUT), expected)
        client.start_stream(callback)
        for index in range(4):
            name = "blobs" if index != 2 else "other"
            client.async_stream_infer(
                name, [tensor(triton)], request_id=str(index), parameters=level
            )
        for index in range(4):
            result, error = answers.get(timeout=PATIENCE_S)
            assert (error is None) == (index != 2)
            if index == 2:
                assert "no model is named 'other'" in error.message()
            else:
                assert result.get_response().id == str(index)
                np.testing.assert_array_equal(result.as_numpy(OUT), expected)
        client.stop_stream()


def test_triton_asyncio_client(server: ServeProcess, place: str, reference: Runtime) -> None:
    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(place) as client:
            assert await client.is_server_ready()
            calls = [
                client.infer(
                    "blobs",
                    [tensor(triton_aio, X + np.float32(index))],
                    parameters={"aio_level": 2},
                )
                for index in range(12)
            ]
            return await asyncio.gather(*calls)

    for index, answer in enumerate(asyncio.run(ask())):
        expected = reference.infer(X + np.float32(index), level=2)
        np.testing.assert_array_equal(answer.as_numpy(OUT), expected)


def test_concurrent_clients_each_get_their_own_answer(
    server: ServeProcess, place: str, reference: Runtime
) -> None:
    wrong: list[int] = []
    parameters = {"aio_level": {"int64_param": 1}}

    def ask(index: int) -> None:
        x = X + np.float32(index)
        request = infer_request(x, names=(IN,), model="blobs", parameters=parameters)
        with contextlib.closing(Client(place)) as client:
            found = [floats(client.infer(request)) for _ in range(20)]
        wrong.extend(index for y in found if y.tobytes() != expected[index].tobytes())

    expected = [reference.infer(X + np.float32(index), level=1) for index in range(8)]
    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_cancelled_calls_leave_nothing_behind(
    server: ServeProcess, place: str, reference: Runtime
) -> None:
    large = infer_request(np.zeros((1000, *SHAPE), np.float32), names=(IN,), model="blobs")
    with contextlib.closing(Client(place)) as client:
        calls = [client.method("ModelInfer").future(large) for _ in range(8)]
        for call in calls:
            call.cancel()
        pending = "nv_inference_pending_request_count"
        wait_for(lambda: server.metric(pending) == 0, "the queue to be empty")
        request = infer_request(
            X, names=(IN,), model="blobs", parameters={"aio_level": {"int64_param": 0}}
        )
        np.testing.assert_array_equal(floats(client.infer(request)), reference.infer(X, level=0))


def test_a_signal_lets_calls_in_progress_end(environ: dict[str, str], model: Path) -> None:
    with serve_process(environ, model, "--grpc-port", 0) as server:
        request = infer_request(np.zeros((1000, *SHAPE), np.float32), names=(IN,), model="blobs")
        with contextlib.closing(Client(grpc_place(server))) as client:
            client.call("ServerLive")
            running = client.method("ModelInfer").future(request)
            wait_for(
                lambda: server.metric("nv_inference_pending_request_count") == 1 or running.done(),
                "the call to run",
            )
            server.process.terminate()
            assert running.result(PATIENCE_S)
        assert server.wait() == 0
        assert "Traceback" not in server.logged()


def test_a_port_in_use(server: ServeProcess, place: str, environ: dict[str, str]) -> None:
    port = place.rpartition(":")[2]
    done = subprocess.run(
        serve_command("--port", 0, "--grpc-port", port),
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"gRPC: port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--grpc-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_option_nothing_of_grpc_is_loaded(
    environ: dict[str, str], server: ServeProcess, model: Path
) -> None:
    assert re.search(UNUSED, mapped(server))
    with serve_process(environ, model) as other:
        assert not re.search(UNUSED, mapped(other))


def mapped(server: ServeProcess) -> str:
    return Path(f"/proc/{server.process.pid}/maps").read_text()


WITHOUT = """
import sys
sys.modules["MODULE"] = None
from aio.runtime.cli import serve_main
sys.argv = ["aio-serve", "--port", "0", "--grpc-port", "0"]
sys.exit(serve_main())
"""


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        ("google.protobuf", "pip install 'aio-runtime[grpc]'"),
        ("aio.runtime._grpc", "apt-get install libnghttp2-dev"),
    ],
)
def test_what_to_install_is_said(module: str, remedy: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.replace("MODULE", module)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
