# SPDX-License-Identifier: Apache-2.0
"""The real server process with a real client over a real socket, its clock faked in sysfs."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton  # type: ignore[import-untyped]
from fake_machine import FakeMachine, PolicySpec
from model_parts import ModelBuilder, later_model
from serve_process import (
    PATIENCE_S,
    ServeProcess,
    environment,
    serve_command,
    serve_process,
    wait_for,
)
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from aio.runtime import Runtime

RATIOS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
LABELS = tuple(f"class {index}" for index in range(10))
TOP_KHZ, LOW_KHZ = 2_000_000, 500_000
CPUS = tuple(sorted(os.sched_getaffinity(0)))
SHAPE = (1, 28, 28)
X = np.random.default_rng(3).normal(size=(2, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


def write_blobs(path: Path, kernel: int) -> Path:
    b = ModelBuilder(SHAPE, RATIOS, (0.99, 0.98, 0.97, 0.96, 0.95, 0.9))
    pad = kernel // 2
    b.conv("stem", "x", (64, 1, 3, 3), padding=(1, 1, 1, 1), sparse=False)
    b.node("stem_act", "relu", ["stem"])
    b.conv("body", "stem_act", (64, 64, kernel, kernel), padding=(pad, pad, pad, pad))
    b.node("body_act", "relu", ["body"])
    b.node("global", "global_avg_pool2d", ["body_act"])
    b.node("flat", "flatten", ["global"])
    b.linear("head", "flat", (10, 64))
    return b.finish(["head"], LABELS, name="blobs").write(path)


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    """Return a model large enough that its latency is compute, which scales with the clock."""
    return write_blobs(folder / "blobs.aio", kernel=3)


@pytest.fixture(scope="module")
def slow_model(folder: Path) -> Path:
    """Return a model whose largest batch still computes when a signal comes late."""
    return write_blobs(folder / "slow.aio", kernel=7)


@pytest.fixture(scope="module")
def machine(folder: Path) -> FakeMachine:
    """Return a fake sysfs in which one policy governs every CPU of this process."""
    (folder / "root").mkdir()
    fake = FakeMachine(folder / "root")
    steps = tuple(range(LOW_KHZ, TOP_KHZ + 1, 100_000))
    fake.add_policy(PolicySpec(0, CPUS, steps, "cpufreq-dt", "schedutil"))
    return fake


@pytest.fixture(scope="module")
def environ(folder: Path, machine: FakeMachine) -> dict[str, str]:
    return environment(folder, AIO_SYSFS_ROOT=str(machine.root))


@pytest.fixture(scope="module")
def shared(environ: dict[str, str], model: Path) -> Iterator[ServeProcess]:
    with serve_process(environ, model) as server:
        yield server


@pytest.fixture
def server(shared: ServeProcess, machine: FakeMachine) -> Iterator[ServeProcess]:
    """Yield the running server; whatever a test did, it must answer right afterwards."""
    machine.set_khz(TOP_KHZ)
    yield shared
    status, body = shared.request("POST", "/v2/models/blobs/infer", json_request(X))
    assert status == 200
    assert len(json.loads(body)["outputs"][0]["data"]) == 20


@pytest.fixture
def client(server: ServeProcess) -> Iterator[triton.InferenceServerClient]:
    with contextlib.closing(triton.InferenceServerClient(server.address)) as client:
        yield client


@pytest.fixture(scope="module")
def reference(model: Path, folder: Path) -> Iterator[Runtime]:
    """Yield the same model in this process."""
    with Runtime.load(model, calibrate=False, cache_dir=folder / "cache") as runtime:
        yield runtime


def json_request(x: "np.ndarray[Any, np.dtype[np.float32]]", **members: object) -> bytes:
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.tolist()}
    return json.dumps({"inputs": [tensor], **members}).encode()


def own_stats(body: bytes) -> dict[str, Any]:
    """Return what our governor adds to the statistics of a model."""
    found: dict[str, Any] = json.loads(body)["model_stats"][0]["aio"]
    return found


def triton_input(binary: bool) -> "list[Any]":
    tensor = triton.InferInput("x", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X, binary_data=binary)
    return [tensor]


def test_the_start_line_says_what_decides_about_speed(shared: ServeProcess) -> None:
    fields = shared.start_line.rstrip("\n").split(" | ")
    names = [field.split()[0] for field in fields[1:]]
    assert names[:3] + names[4:] == ["isa", "threads", "clock", "target", "6"]
    assert re.fullmatch(r"sensors \w+ \w+(, \w+ \w+)*|no other sensors", fields[4])
    assert fields[3] == "clock cpufreq 2000 MHz"
    assert fields[5].endswith(" ms (default)")
    assert fields[6] == "6 levels"


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("blobs")
    assert client.is_model_ready("blobs", "1")
    assert not client.is_model_ready("other")
    metadata = client.get_server_metadata()
    assert "binary_tensor_data" in metadata["extensions"]
    assert client.get_model_metadata("blobs")["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, *SHAPE]}
    ]


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("level", range(len(RATIOS)))
def test_answers_equal_the_runtime(
    client: Any, reference: Runtime, binary_in: bool, binary_out: bool, level: int
) -> None:
    answer = client.infer(
        "blobs",
        triton_input(binary_in),
        request_id="seven",
        outputs=[triton.InferRequestedOutput("head_out", binary_data=binary_out)],
        parameters={"aio_level": level},
    )
    np.testing.assert_array_equal(answer.as_numpy("head_out"), reference.infer(X, level=level))
    response = answer.get_response()
    assert response["id"] == "seven"
    parameters = response["parameters"]
    assert parameters["aio_level"] == level
    assert parameters["aio_ratio"] == RATIOS[level]
    assert parameters["aio_cpu_khz"] == TOP_KHZ
    assert parameters["aio_latency_ms"] > 0
    assert parameters["aio_predicted_ms"] > 0
    assert parameters["aio_reason"] == "level given by the caller"


def test_no_outputs_named_means_all_in_binary(client: Any, reference: Runtime) -> None:
    answer = client.infer("blobs", triton_input(binary=True), parameters={"aio_level": 0})
    np.testing.assert_array_equal(answer.as_numpy("head_out"), reference.infer(X, level=0))


def test_a_model_of_several_inputs(environ: dict[str, str], folder: Path) -> None:
    path = later_model().write(folder / "later.aio")
    rng = np.random.default_rng(4)
    with Runtime.load(path, calibrate=False, cache_dir=folder / "cache") as reference:
        arrays = {
            info.name: rng.standard_normal((2, *info.shape), dtype=np.float32)
            for info in reference.inputs
        }
        expected = reference.run(arrays, level=1).outputs
    inputs = []
    for name, x in reversed(arrays.items()):
        inputs.append(triton.InferInput(name, list(x.shape), "FP32"))
        inputs[-1].set_data_from_numpy(x, binary_data=name != "vector")
    with (
        serve_process(environ, path) as server,
        contextlib.closing(triton.InferenceServerClient(server.address)) as client,
    ):
        metadata = client.get_model_metadata("small")
        assert {(spec["name"], *spec["shape"]) for spec in metadata["inputs"]} == {
            ("x", -1, 3, 9, 7),
            ("vector", -1, 5),
            ("gate", -1, 40, 1, 1),
        }
        answer = client.infer("small", inputs, parameters={"aio_level": 1})
        for name, value in expected.items():
            np.testing.assert_array_equal(answer.as_numpy(name), value)
        with pytest.raises(triton.InferenceServerException, match="input 'vector' is missing"):
            client.infer("small", [inputs[0], inputs[2]])


@pytest.mark.parametrize("binary", [False, True])
def test_classification(client: Any, reference: Runtime, binary: bool) -> None:
    wanted = triton.InferRequestedOutput("head_out", binary_data=binary, class_count=2)
    answer = client.infer(
        "blobs", triton_input(binary=True), outputs=[wanted], parameters={"aio_level": 0}
    )
    found = answer.as_numpy("head_out")
    assert found.shape == (2, 2)
    for row, scores in zip(found, reference.infer(X, level=0), strict=True):
        best = np.argsort(-scores)[:2]
        entries = [entry.decode() if isinstance(entry, bytes) else entry for entry in row]
        assert [entry.split(":", 1)[1] for entry in entries] == [
            f"{index}:{LABELS[index]}" for index in best
        ]


def test_the_client_understands_our_errors(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="no model is named 'other'"):
        client.infer("other", triton_input(binary=True))
    with pytest.raises(triton.InferenceServerException, match="aio_level must be 0 to 5"):
        client.infer("blobs", triton_input(binary=True), parameters={"aio_level": 6})


def test_levels_follow_the_clock(server: ServeProcess, client: Any, machine: FakeMachine) -> None:
    def ask() -> Any:
        answer = client.infer("blobs", triton_input(binary=True))
        return answer.get_response()["parameters"]

    def level_at(khz: int) -> int:
        """Return the level of the first answer that was made for this clock."""
        machine.set_khz(khz)
        found: dict[str, Any] = {}

        def seen() -> bool:
            found.update(ask())
            return bool(found["aio_cpu_khz"] == khz)

        wait_for(seen, f"an answer at {khz} kHz")
        assert found["aio_ratio"] == RATIOS[found["aio_level"]]
        return int(found["aio_level"])

    levels: list[int] = []

    def seen_level() -> int:
        levels.append(int(ask()["aio_level"]))
        return levels[-1]

    switches = server.metric("aio_ratio_switches_total")
    for _ in range(2):
        level_at(TOP_KHZ)
        # Which one it is depends on what this machine was measured to do besides.
        wait_for(lambda: seen_level() < len(RATIOS) - 1, "a level that is not the sparsest")
        sparse = level_at(LOW_KHZ)
        assert sparse > levels[-1]
        assert server.metric("aio_active_level") == sparse
        assert server.metric("aio_active_sparsity_ratio") == RATIOS[sparse]
        assert server.metric("aio_cpu_frequency_hertz") == LOW_KHZ * 1000
    assert server.metric("aio_ratio_switches_total") >= switches + 3
    assert server.metric("aio_governor_decisions_total") >= 4
    assert server.metric("aio_target_seconds") > 0
    assert server.metric("aio_residual_ratio") > 0
    status, body = server.request("GET", "/v2/models/blobs/stats")
    assert status == 200
    reasons = [decision["reason"] for decision in own_stats(body)["stats"]["decisions"]]
    assert any("2000 -> 500 MHz" in reason for reason in reasons)


def test_options_reach_the_governor_and_reasons_the_log(
    environ: dict[str, str], model: Path, machine: FakeMachine
) -> None:
    machine.set_khz(TOP_KHZ)
    machine.write("sys/class/power_supply/battery/type", "Battery\n")
    machine.write("sys/class/power_supply/battery/status", "Discharging\n")
    options = ("--policy", "table", "--no-replan", "--log-level", "info")
    targets = ("--target-ms", "1e6", "--battery-target-ms", "5e5")
    try:
        with serve_process(environ, model, *options, *targets) as server:
            status, body = server.request("POST", "/v2/models/blobs/infer", json_request(X))
            assert status == 200
            reason = json.loads(body)["parameters"]["aio_reason"]
            assert "target 500000.0 ms" in reason
            assert server.metric("aio_target_seconds") == 500.0
            assert server.metric("aio_replans_total") == 0
            _, body = server.request("GET", "/v2/models/blobs/stats")
            stats = own_stats(body)
            assert (stats["policy"], stats["last"]["reason"]) == ("table", reason)
            assert reason in server.logged()
    finally:
        shutil.rmtree(machine.root / "sys/class/power_supply")


@contextlib.contextmanager
def request_in_flight(server: ServeProcess) -> Iterator[list[int]]:
    """Yield when the server computes a large batch; the list will hold the answer's status."""
    found: list[int] = []
    body = np.zeros((1000, *SHAPE), np.float32)
    tensor = {"name": "x", "shape": list(body.shape), "datatype": "FP32"}
    size = {"parameters": {"binary_data_size": body.nbytes}}
    text = json.dumps({"inputs": [{**tensor, **size}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}

    def ask() -> None:
        with contextlib.suppress(ConnectionError):
            data = text + body.tobytes()
            found.append(server.request("POST", "/v2/models/blobs/infer", data, headers)[0])

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(
        lambda: bool(found) or server.metric("nv_inference_pending_request_count") == 1,
        "a request in flight",
    )
    assert not found
    yield found
    thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_the_request_in_flight(
    environ: dict[str, str], slow_model: Path, number: signal.Signals
) -> None:
    with serve_process(environ, slow_model, "--level", "0", "--threads", "1") as server:
        with request_in_flight(server) as found:
            server.process.send_signal(number)
            assert server.wait() == 0
        assert found == [200]
        with pytest.raises(ConnectionRefusedError):
            server.request("GET", "/v2")


def test_a_second_interrupt_ends_the_server_at_once(
    environ: dict[str, str], slow_model: Path
) -> None:
    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", process.port)).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # The listener closed while this connection waited in its backlog.
        return False

    with serve_process(environ, slow_model, "--level", "0", "--threads", "1") as process:
        with request_in_flight(process) as found:
            process.process.send_signal(signal.SIGINT)
            wait_for(refused, "the first interrupt to be handled")
            process.process.send_signal(signal.SIGINT)
            assert process.wait() == 130
        assert found == []


def test_an_idle_keep_alive_connection_does_not_delay_the_end(
    environ: dict[str, str], model: Path
) -> None:
    with serve_process(environ, model) as server:
        with contextlib.closing(triton.InferenceServerClient(server.address)) as client:
            assert client.is_server_live()
            server.process.terminate()
            assert server.wait() == 0
        assert server.logged() == ""


def test_a_signal_while_loading(folder: Path, machine: FakeMachine, model: Path) -> None:
    # A fresh cache, so that loading includes a calibration.
    environ = environment(folder / "fresh", AIO_SYSFS_ROOT=str(machine.root))
    process = subprocess.Popen(
        serve_command(model, "--port", "0", "--log-level", "info"),
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert "Started server process" in process.stderr.readline()
        process.terminate()
        assert process.wait(30) == 0


def run_and_fail(environ: dict[str, str], *arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        serve_command(*arguments),
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_port_in_use(server: ServeProcess, environ: dict[str, str], model: Path) -> None:
    code, said = run_and_fail(environ, model, "--port", server.port)
    assert code == 2
    assert said.startswith(f"aio-serve: error: port {server.port} of 127.0.0.1 is in use")


def test_a_model_that_is_not_there(environ: dict[str, str], folder: Path) -> None:
    path = folder / "missing.aio"
    code, said = run_and_fail(environ, path, "--port", "0")
    assert code == 2
    assert said.startswith(f"aio-serve: error: {path}: ")
    path.write_bytes(b"not a model")
    code, said = run_and_fail(environ, path, "--port", "0")
    assert code == 2
    assert said.startswith(f"aio-serve: error: {path}: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "--insecure"),
        (("--level", "6"), "level"),
        (("--target-ms", "-1"), "target_ms"),
        (("--battery-target-ms", "0"), "battery_target_ms"),
        (("--policy", "x"), "expected one of adaptive, table"),
        (("--min-accuracy", "0.999"), "min_accuracy"),
    ],
)
def test_wrong_options(
    environ: dict[str, str], model: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, text = run_and_fail(environ, model, "--port", "0", *arguments)
    assert code == 2
    assert said in text


def test_hostile_bytes_and_then_a_good_request(server: ServeProcess) -> None:
    rng = np.random.default_rng(0)
    start = b"POST /v2/models/blobs/infer HTTP/1.1\r\nHost: localhost\r\n"
    good = json_request(X)
    attacks = [
        b"",
        b"\r\n\r\n",
        rng.bytes(5000),
        start,
        start + b"Content-Length: 10\r\n\r\nhalf",
        start + b"Content-Length: 99999999999999999999\r\n\r\n",
        start + b"Content-Length: -1\r\n\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        start + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnot hex\r\n",
        start + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        start + b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
        start + b"Inference-Header-Content-Length: 5\r\nContent-Length: 3\r\n\r\n{}x",
        start + b"Content-Length: %d\r\n\r\n" % (len(good) // 2) + good,
        start + b"Content-Length: %d\r\n\r\n" % (len(good) * 2) + good,
        start + b"X: " + b"x" * 1_000_000,
    ]
    for attack in attacks:
        for half_close in (False, True):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
            with raw, contextlib.suppress(ConnectionError):
                raw.sendall(attack)
                if half_close:
                    raw.shutdown(socket.SHUT_WR)
                    answer = raw.recv(65536)
                    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        status, _ = server.request("POST", "/v2/models/blobs/infer", good)
        assert status == 200
    assert server.process.poll() is None


def test_many_clients_that_send_slowly_do_not_stop_others(server: ServeProcess) -> None:
    head = (
        b"POST /v2/models/blobs/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
            stack.enter_context(raw).sendall(head)
        status, _ = server.request("POST", "/v2/models/blobs/infer", json_request(X))
        assert status == 200


def test_concurrent_clients_each_get_their_own_answer(
    server: ServeProcess, reference: Runtime
) -> None:
    xs = [X + np.float32(index) for index in range(8)]
    expected = [reference.infer(x, level=1).ravel().tolist() for x in xs]
    found: dict[int, list[object]] = {index: [] for index in range(len(xs))}

    def ask(index: int) -> None:
        body = json_request(xs[index], id=str(index), parameters={"aio_level": 1})
        for _ in range(10):
            status, answer = server.request("POST", "/v2/models/blobs/infer", body)
            root = json.loads(answer)
            assert (status, root["id"]) == (200, str(index))
            found[index].append(root["outputs"][0]["data"])

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, answers in found.items():
        assert answers == [expected[index]] * 10


def test_the_shipped_model_answers_the_printed_curl_line(environ: dict[str, str]) -> None:
    with serve_process(environ) as server:
        assert server.model == "digits"
        assert server.process.stdout is not None
        line = next(line for line in server.process.stdout if line.startswith("curl "))
        _, _, url, option, data = shlex.split(line)
        assert (url, option) == (f"http://{server.address}/v2/models/digits/infer", "-d")
        status, body = server.request("POST", "/v2/models/digits/infer", data.encode())
        assert status == 200
        (entry,) = json.loads(body)["outputs"][0]["data"]
        assert entry.split(":")[2] == str(true_digit(json.loads(data)["inputs"][0]["data"]))
        assert resident_mib(server.process.pid) < 70


def true_digit(pixels: list[float]) -> int:
    """Return what scikit-learn says the digit is."""
    digits = load_digits()
    (index,) = np.flatnonzero((digits.data == np.array(pixels)).all(axis=1))
    return int(digits.target[index])


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) / 1024
