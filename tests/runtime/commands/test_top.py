# SPDX-License-Identifier: Apache-2.0
"""`aio top` before a server around a fake engine, and before none."""

import json
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, serving, tensor_json
from outlooks import decide

from aio.governors import AdaptivePolicy
from aio.runtime.cli import main
from aio.runtime.commands.server_state import StateClient
from aio.runtime.commands.top_text import look

X = np.zeros((1, *SHAPE), np.float32)


@pytest.fixture(scope="module")
def served() -> Iterator[LiveServer]:
    engine = FakeEngine(decisions=(decide(AdaptivePolicy(), [30.0, 9.0], 20.0),))
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
        yield live


def top(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["top", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_once_shows_clock_level_latency_and_reasons(
    served: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, before, _ = top(capsys, f"127.0.0.1:{served.port}", "--once")
    assert code == 0
    assert "no request yet" in before
    assert served.infer(tensor_json(X)).status == 200
    _, out, _ = top(capsys, f"http://127.0.0.1:{served.port}/", "--once")
    assert "CPU by fake  1510 MHz" in out
    assert "not readable here" in out
    assert "target 1.00 ms  p50 0.500" in out
    assert "queue 0 of 64" in out
    assert "highest 0.500 ms" in out
    assert "target 20.0 ms" in out.splitlines()[-1]  # the reason of the change


def test_json_is_the_state(served: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = top(capsys, f"127.0.0.1:{served.port}", "--json")
    assert code == 0
    assert json.loads(out)["models"][0]["name"] == "fake"


def test_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        code, _, err = top(capsys, address, "--once")
    assert code == 2
    assert f"nothing answers at {address}" in err
    assert "start aio-serve" in err


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://x", "expected http://"),
        ("http://x:port", "expected http://"),
        ("", "expected http"),
        ("http://ex ample:80", "address 'http://ex ample:80': expected http://"),
        ("http://ex\x7fample", "expected http://"),
        (f"http://{'x' * 70}", "nothing answers"),
        ("http://a..b", "nothing answers"),
    ],
)
def test_addresses_that_are_none(
    address: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = top(capsys, address, "--once")
    assert code == 2
    assert message in err


@pytest.mark.parametrize("interval", ["0", "-1", "0.05", "3601", "1e300", "inf", "nan"])
def test_intervals_that_are_none(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = top(capsys, "--interval", interval)
    assert code == 2
    assert f"--interval is {float(interval):g}, expected 0.1 to 3600 seconds" in err


def test_one_model_of_several(served: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{served.port}"
    code, out, _ = top(capsys, address, "--json", "--model", "fake")
    assert code == 0
    assert [model["name"] for model in json.loads(out)["models"]] == ["fake"]
    code, _, err = top(capsys, address, "--once", "--model", "other")
    assert code == 2
    assert "--model is 'other', expected one of those that are loaded: fake" in err


def test_a_server_before_its_model_is_loaded() -> None:
    loaded = threading.Event()

    def loader() -> FakeEngine:
        loaded.wait(20)
        return FakeEngine()

    with serving(loader) as live:
        state = StateClient(f"127.0.0.1:{live.port}", None).get()
        loaded.set()
        live.wait_for(live.announced.is_set)
    assert "no model is loaded; the server is loading" in look(state, 100).plain
