# SPDX-License-Identifier: Apache-2.0
"""A directory of models served by a real process to real clients: tritonclient and curl."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import shlex
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton  # type: ignore[import-untyped]
import tritonclient.http.aio as triton_aio  # type: ignore[import-untyped]
from model_parts import ModelBuilder
from serve_process import ServeProcess, environment, serve_command, serve_process, wait_for

from aio.runtime import Runtime

SHAPE = (1, 4, 4)
LABELS = ("ant", "bee", "cat")
X = np.arange(32, dtype=np.float32).reshape(2, *SHAPE)
JSON = {"content-type": "application/json"}
DOCS = Path(__file__).parents[2] / "docs"
NUMPY = {
    "BOOL": np.bool_,
    **{f"{s}INT{b}": np.dtype(f"{s}int{b}".lower()) for s in ("", "U") for b in (8, 16, 32, 64)},
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BF16": ml_dtypes.bfloat16,
}


def model_bytes(seed: int, accuracies: tuple[float, ...] | None = None) -> bytes:
    builder = ModelBuilder(SHAPE, (0.0, 0.5), accuracies=accuracies, seed=seed)
    builder.conv("conv", "x", (16, 1, 3, 3), padding=(1, 1, 1, 1), sparse=False)
    builder.node("flat", "flatten", ["conv"])
    builder.linear("head", "flat", (len(LABELS), 256))
    return builder.finish(["head"], LABELS, name="inside").to_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository")


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    models = folder / "models"
    models.mkdir()
    put(models, "a/1", 1)
    put(models, "b/7", 2)
    return models


def put(models: Path, place: str, seed: int, accuracies: tuple[float, ...] | None = None) -> None:
    """Write a version as the docs say: elsewhere, then renamed into its place."""
    path = models / place / "model.aio"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_bytes(model_bytes(seed, accuracies))
    draft.rename(path)


@pytest.fixture(scope="module")
def server(folder: Path, models: Path) -> Iterator[ServeProcess]:
    control = "--model-repository", models, "--model-control", "explicit"
    with serve_process(environment(folder), *control) as server:
        wait_for(lambda: server.request("GET", "/v2/health/ready")[0] == 200, "readiness")
        yield server
        assert server.process.poll() is None
        assert "Traceback" not in server.logged()


@pytest.fixture
def client(server: ServeProcess) -> Iterator[Any]:
    with contextlib.closing(triton.InferenceServerClient(server.address, concurrency=4)) as client:
        yield client


def tensors(x: np.ndarray[Any, Any], datatype: str = "FP32", *, binary: bool = True) -> list[Any]:
    tensor = triton.InferInput("x", list(x.shape), datatype)
    tensor.set_data_from_numpy(x, binary_data=binary)
    return [tensor]


def expected(folder: Path, seed: int, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    path = folder / f"expected-{seed}.aio"
    path.write_bytes(model_bytes(seed))
    with Runtime.load(path, calibrate=False, cache_dir=folder / "cache") as runtime:
        return runtime.infer(x.astype(np.float32), level=0)


def infer(client: Any, model: str, x: np.ndarray[Any, Any] = X, **options: Any) -> Any:
    return client.infer(model, tensors(x), parameters={"aio_level": 0}, **options)


def index(client: Any) -> dict[tuple[str, str], str]:
    return {
        (row["name"], row["version"]): row["state"] for row in client.get_model_repository_index()
    }


def test_two_models_of_one_file_under_their_own_names(client: Any, folder: Path) -> None:
    assert {("a", "1"): "READY", ("b", "7"): "READY"}.items() <= index(client).items()
    assert client.get_model_metadata("b")["versions"] == ["7"]
    assert client.is_model_ready("b", "7")
    assert not client.is_model_ready("b", "1")
    for model, seed in (("a", 1), ("b", 2)):
        answer = infer(client, model)
        np.testing.assert_array_equal(answer.as_numpy("head_out"), expected(folder, seed, X))
        assert answer.get_response()["model_name"] == model


def test_the_configuration_says_what_clients_read(client: Any) -> None:
    config = client.get_model_config("a")
    assert (config["name"], config["platform"]) == ("a", "aio_safetensors")
    assert config["max_batch_size"] == 1024
    (tensor,) = config["input"]
    assert (tensor["name"], tensor["data_type"], tensor["dims"]) == ("x", "TYPE_FP32", [*SHAPE])
    assert config["output"][0]["dims"] == [len(LABELS)]
    assert config["model_transaction_policy"] == {"decoupled": False}


def test_statistics_of_one_and_of_all(client: Any) -> None:
    infer(client, "a")
    (one,) = client.get_inference_statistics("a", "1")["model_stats"]
    assert (one["name"], one["version"]) == ("a", "1")
    assert set(one["inference_stats"]) >= {"success", "fail", "queue", "compute_infer"}
    assert one["aio"]["stats"]["inferences"] >= 1
    everything = client.get_inference_statistics()["model_stats"]
    assert {item["name"] for item in everything} >= {"a", "b"}


@pytest.mark.parametrize("datatype", list(NUMPY))
@pytest.mark.parametrize("binary", [True, False])
def test_every_datatype_is_converted(
    client: Any, folder: Path, datatype: str, binary: bool
) -> None:
    x = (X % 2).astype(NUMPY[datatype])
    if not binary and datatype == "BF16":
        with pytest.raises(triton.InferenceServerException):  # the client itself won't
            tensors(x, datatype, binary=False)
        return
    answer = client.infer("a", tensors(x, datatype, binary=binary), parameters={"aio_level": 0})
    np.testing.assert_array_equal(answer.as_numpy("head_out"), expected(folder, 1, X % 2))


def test_strings_are_refused_in_words(client: Any) -> None:
    x = np.full((1, *SHAPE), b"seven", dtype=np.object_)
    with pytest.raises(triton.InferenceServerException, match="decode the data and send it"):
        client.infer("a", tensors(x, "BYTES"))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_refused_and_compressed_answers_not_given(
    client: Any, algorithm: str
) -> None:
    with pytest.raises(triton.InferenceServerException, match="send the body uncompressed"):
        infer(client, "a", request_compression_algorithm=algorithm)
    answer = infer(client, "a", response_compression_algorithm=algorithm)
    assert answer.as_numpy("head_out").shape == (2, 3)


def test_timeout_and_priority_are_taken(client: Any) -> None:
    answer = client.infer("a", tensors(X), timeout=10_000_000, priority=1)
    assert answer.as_numpy("head_out").shape == (2, 3)


def test_the_asyncio_client(server: ServeProcess, folder: Path) -> None:
    async def run() -> None:
        async with triton_aio.InferenceServerClient(server.address) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_config("a"))["name"] == "a"
            assert (await client.get_inference_statistics("a"))["model_stats"]
            names = {row["name"] for row in await client.get_model_repository_index()}
            assert {"a", "b"} <= names
            answers = await asyncio.gather(
                *(client.infer("a", tensors(X), parameters={"aio_level": 0}) for _ in range(8))
            )
            for answer in answers:
                np.testing.assert_array_equal(answer.as_numpy("head_out"), expected(folder, 1, X))
            wanted = [triton_aio.InferRequestedOutput("head_out", class_count=1)]
            (top, _) = (await client.infer("a", tensors(X), outputs=wanted)).as_numpy("head_out")
            assert top[0].decode().split(":")[2] in LABELS
            await client.unload_model("b")
            assert not await client.is_model_ready("b")
            await client.load_model("b")
            assert await client.is_model_ready("b")

    with warnings.catch_warnings():
        # The client leaves the bodies of `is_..._ready` unread, and with them a connection.
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(run())
        gc.collect()


def test_a_version_is_replaced_under_load_without_an_error(
    server: ServeProcess, client: Any, models: Path, folder: Path
) -> None:
    put(models, "swap/1", 1)
    client.load_model("swap")
    old, new = (expected(folder, seed, X).ravel().tolist() for seed in (1, 2))
    body = json.dumps(
        {
            "inputs": [{"name": "x", "shape": X.shape, "datatype": "FP32", "data": X.tolist()}],
            "parameters": {"aio_level": 0},
        }
    ).encode()
    found: list[tuple[int, str, list[float]]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            status, answer = server.request("POST", "/v2/models/swap/infer", body)
            root = json.loads(answer)
            data = root["outputs"][0]["data"] if status == 200 else []
            found.append((status, root.get("model_version", ""), data))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        (models / "swap" / "2").mkdir()
        (models / "swap" / "2" / "model.aio").write_bytes(b"broken")
        with pytest.raises(triton.InferenceServerException, match="version 1 serves"):
            client.load_model("swap")
        assert index(client)["swap", "2"] == "UNAVAILABLE"
        put(models, "swap/2", 2)
        client.load_model("swap")
        assert index(client)["swap", "2"] == "READY"
        wait_for(lambda: bool(found) and found[-1][1] == "2", "answers of version 2")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert {status for status, _, _ in found} == {200}
    assert {version for _, version, _ in found} == {"1", "2"}
    for _, version, data in found:
        assert data == (old if version == "1" else new)


def test_what_was_set_goes_over_to_a_new_version(
    server: ServeProcess, client: Any, models: Path
) -> None:
    def control(**members: object) -> tuple[int, dict[str, Any]]:
        body = json.dumps({"model": "set", **members}).encode()
        status, answer = server.request("POST", "/control", body, JSON)
        return status, json.loads(answer)

    put(models, "set/1", 1, accuracies=(0.95, 0.9))
    client.load_model("set")
    assert control(target_ms=7, min_accuracy=0.92)[0] == 200
    put(models, "set/2", 2, accuracies=(0.94, 0.93))
    client.load_model("set")
    in_force = control()[1]
    assert (in_force["target_ms"], in_force["min_accuracy"]) == (7.0, 0.92)
    assert in_force["allowed_levels"] == [0, 1]
    put(models, "set/3", 3, accuracies=(0.91, 0.9))
    with pytest.raises(triton.InferenceServerException, match=r"has 0\.91; this was set"):
        client.load_model("set")
    assert index(client)["set", "2"] == "READY"
    client.unload_model("set")


@pytest.mark.parametrize(
    "name", ["..", "..%2f..%2fetc", "a%2f1", "%2fetc%2fpasswd", "a%00", "%ef%bd%81", ".", "a/../b"]
)
def test_no_name_reaches_the_file_system(server: ServeProcess, name: str) -> None:
    for action in ("load", "unload"):
        status, body = server.request("POST", f"/v2/repository/models/{name}/{action}", b"{}")
        assert status == 404
        assert list(json.loads(body)) == ["error"]


def test_files_and_configurations_are_not_taken(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="is not supported"):
        client.load_model("a", config='{"max_batch_size": 1}')
    with pytest.raises(triton.InferenceServerException, match="is not supported"):
        client.load_model("a", config="{}", files={"file:1/model.aio": b"x"})
    assert client.is_model_ready("a")


def test_shared_memory_is_off(client: Any) -> None:
    assert client.get_system_shared_memory_status() == []
    client.unregister_system_shared_memory()
    with pytest.raises(triton.InferenceServerException, match="no shared memory regions"):
        client.register_system_shared_memory("region", "/key", 64)


def test_without_control_clients_change_nothing(folder: Path, models: Path) -> None:
    options = "--model-repository", models, "--load-model", "b"
    with (
        serve_process(environment(folder), *options) as server,
        contextlib.closing(triton.InferenceServerClient(server.address)) as client,
    ):
        assert server.model == "b"
        assert index(client)["b", "7"] == "READY"
        assert not client.is_model_ready("a")
        for call in (client.load_model, client.unload_model):
            with pytest.raises(triton.InferenceServerException, match="--model-control explicit"):
                call("a")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model-repository", "missing"), "it must be a directory that holds NAME/VERSION"),
        (("--model-repository", "empty"), "has no model; add NAME/1/model.aio"),
        (("--model-repository", "models", "--load-model", "c"), "has no such model, there is"),
        (("models/a/1/model.aio", "--model-repository", "models"), "not both"),
        (("--load-model", "a"), "need --model-repository DIR"),
    ],
)
def test_wrong_options(folder: Path, models: Path, options: tuple[str, ...], said: str) -> None:
    assert models == folder / "models"
    (folder / "empty").mkdir(exist_ok=True)
    run = subprocess.run(
        serve_command(*options, "--port", "0"),
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("aio-serve: error: ")
    assert said in run.stderr


def curl_lines(page: str) -> list[str]:
    """Return the commands of a page that ask for an inference without a token."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ {4,10}curl .*(?:\n {4,}.*)*", text, re.MULTILINE)
    lines = [re.sub(r"\\\n\s*", " ", block).strip() for block in blocks]
    return [line for line in lines if "/NAME/infer" in line and "Authorization" not in line]


@pytest.fixture(scope="module")
def documented(folder: Path) -> Iterator[ServeProcess]:
    """Yield a server of the model that the docs' examples are about."""
    builder = ModelBuilder((1, 2, 2), (0.0, 0.5))
    builder.node("flat", "flatten", ["x"])
    builder.linear("head", "flat", (16, 4))
    parts = builder.finish(["head"], name="NAME")
    parts.manifest["outputs"][0]["name"] = "logits"
    with serve_process(environment(folder), parts.write(folder / "documented.aio")) as server:
        yield server


@pytest.mark.parametrize("page", ["protocol.md", "serving.md"])
def test_the_curl_lines_of_the_docs(documented: ServeProcess, folder: Path, page: str) -> None:
    (folder / "x.f32").write_bytes(np.arange(4, dtype="<f4").tobytes())
    lines = curl_lines(page)
    assert lines
    for line in lines:
        command = shlex.split(line.replace("127.0.0.1:8000", documented.address))
        run = subprocess.run(
            [*command, "--fail-with-body"], cwd=folder, capture_output=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stdout
        assert b"logits" in run.stdout
