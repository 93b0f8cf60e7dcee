# SPDX-License-Identifier: Apache-2.0
"""The live page in a real browser, before a real server whose clock is faked in sysfs."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from digit_strokes import DIGITS
from fake_machine import FakeMachine, PolicySpec
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect
from serve_process import ServeProcess, environment, serve_process, wait_for
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

TOP_KHZ, LOW_KHZ = 2_000_000, 1_000_000
DESKTOP, PHONE = (1440, 900), (390, 844)
PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> FakeMachine:
    fake = FakeMachine(tmp_path_factory.mktemp("root"))
    fake.add_policy(PolicySpec(0, (0, 1), (LOW_KHZ, TOP_KHZ), "cpufreq-dt", "schedutil"))
    return fake


@pytest.fixture(scope="module")
def environ(machine: FakeMachine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("page"), AIO_SYSFS_ROOT=str(machine.root))


@pytest.fixture(scope="module")
def server(environ: dict[str, str]) -> Iterator[ServeProcess]:
    with serve_process(environ) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Watched:
    """A page, with what it complained of and whom it asked."""

    def __init__(self, browser: Browser, size: tuple[int, int], theme: Any = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=theme
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def close(self) -> None:
        self.context.close()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        self.hosts.add(re.sub(r"^\w+://([^/]+)/.*", r"\1", request.url))


def infer(server: ServeProcess, count: int = 1) -> None:
    image = load_digits().images[0]
    tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32"}
    body = json.dumps({"inputs": [{**tensor, "data": image.ravel().tolist()}]}).encode()
    for _ in range(count):
        assert server.request("POST", f"/v2/models/{server.model}/infer", body)[0] == 200


def state(server: ServeProcess) -> Any:
    return json.loads(server.request("GET", "/state")[1])["models"][0]


def control(server: ServeProcess, **members: float | None) -> None:
    body = json.dumps({"model": server.model, **members}).encode()
    json_type = {"content-type": "application/json"}
    assert server.request("POST", "/control", body, json_type)[0] == 200


def open_page(watched: Watched, server: ServeProcess) -> Page:
    watched.page.goto(f"http://{server.address}/")
    expect(watched.page.locator("#state")).to_have_attribute("data-state", "ready")
    return watched.page


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    with closing(Watched(browser, DESKTOP)) as one:
        yield one


# How many pixels of the latency plot have a colour: points of levels, and the target's line.
COLOURED = """() => {
  const canvas = document.querySelector("#latency-chart canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, a] = data.slice(i, i + 4);
    if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count++;
  }
  return count;
}"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_shows_itself_on_every_screen(
    browser: Browser, server: ServeProcess, size: tuple[int, int], theme: str
) -> None:
    infer(server, 20)
    with closing(Watched(browser, size, theme)) as watched:
        page = open_page(watched, server)
        expect(page.locator("#tiles")).to_contain_text("Clock, policy0")
        expect(page.locator("#tiles")).to_contain_text("2000MHz")
        expect(page.locator("#levels tr")).to_have_count(9)
        expect(page.locator("#device")).to_contain_text("not readable here")
        expect(page.locator("#changes li").first).to_contain_text("level")
        wait_for(lambda: page.evaluate(COLOURED) > 50, "points on the chart")
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, "the page is wider than the screen"
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
        assert (brightness > 128) == (theme == "light")
        assert watched.complaints == []
        assert watched.hosts == {server.address}


def test_the_clock_is_live(watched: Watched, server: ServeProcess, machine: FakeMachine) -> None:
    page = open_page(watched, server)
    machine.set_khz(LOW_KHZ)
    expect(page.locator("#tiles")).to_contain_text("1000MHz", timeout=PATIENCE_MS)
    machine.set_khz(TOP_KHZ)
    expect(page.locator("#tiles")).to_contain_text("2000MHz", timeout=PATIENCE_MS)


def test_controls_change_the_server_and_show_its_errors(
    watched: Watched, server: ServeProcess
) -> None:
    page = open_page(watched, server)
    expect(page.locator("#target-hint")).to_contain_text("default")
    page.fill("#target", "7.5")
    page.press("#target", "Enter")
    expect(page.locator("#target-hint")).to_have_text("7.50 ms in force, given")
    assert state(server)["target_ms"] == 7.5
    page.fill("#accuracy", "99.3")
    page.press("#accuracy", "Enter")
    expect(page.locator("#accuracy-hint")).to_contain_text("99.30 % in force")
    allowed = state(server)["allowed_levels"]
    assert 0 < len(allowed) < 9
    expect(page.locator("#levels tr.barred")).to_have_count(9 - len(allowed))
    page.fill("#accuracy", "99.99")
    page.press("#accuracy", "Enter")
    expect(page.locator("#control-error")).to_contain_text("the best level has")
    assert state(server)["min_accuracy"] == 0.993
    page.click("#accuracy-reset")
    page.click("#target-reset")
    expect(page.locator("#control-error")).to_have_text("")
    expect(page.locator("#target-hint")).to_contain_text("default")
    expect(page.locator("#levels tr.barred")).to_have_count(0)
    assert state(server)["given_target_ms"] is None


def test_drawn_digits_are_recognised(watched: Watched, server: ServeProcess) -> None:
    # A target far away, so that the densest level answers however busy this machine is.
    control(server, target_ms=1000)
    page = open_page(watched, server)
    pad = page.locator("#pad").bounding_box()
    assert pad is not None
    for digit, strokes in DIGITS.items():
        page.click("#clear")
        for stroke in strokes:
            places = [
                (pad["x"] + x * pad["width"], pad["y"] + y * pad["height"]) for x, y in stroke
            ]
            page.mouse.move(*places[0])
            page.mouse.down()
            for place in places[1:]:
                page.mouse.move(*place)
            with page.expect_response("**/infer") as answered:
                page.mouse.up()
            assert answered.value.ok
        expect(page.locator("#guess")).to_have_text(str(digit))
        expect(page.locator("#guess-text")).to_contain_text("level 0 (0 % zeros)")
        expect(page.locator("#classes li.best")).to_have_text(str(digit))
    before = state(server)["counts"]["inferences"]
    page.check("#keep")
    wait_for(lambda: state(server)["counts"]["inferences"] > before + 10, "repeated requests")
    page.uncheck("#keep")
    control(server, target_ms=None)


def test_the_page_survives_a_restart_of_the_server(
    browser: Browser, environ: dict[str, str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with closing(Watched(browser, DESKTOP)) as watched:
        with serve_process(environ, port=port) as first:
            page = open_page(watched, first)
            first.process.send_signal(signal.SIGTERM)
            assert first.wait() == 0  # an open page does not hold it up
        expect(page.locator("#banner")).to_contain_text("Trying again")
        expect(page.locator("#state")).to_have_attribute("data-state", "gone")
        with serve_process(environ, port=port) as second:
            expect(page.locator("#state")).to_have_attribute("data-state", "ready")
            expect(page.locator("#banner")).to_be_hidden()
            infer(second, 3)
            expect(page.locator("#tiles")).to_contain_text("3 in all")


def test_a_server_that_wants_a_token_is_asked_with_it(
    watched: Watched, server: ServeProcess
) -> None:
    page = watched.page

    def guard(route: Any) -> None:
        headers = route.request.headers
        if headers.get("authorization") == "Bearer secret":
            route.continue_()
        else:
            route.fulfill(status=401, body='{"error": "token"}')

    page.route("**/events", guard)
    page.route("**/control", guard)
    page.goto(f"http://{server.address}/")
    expect(page.locator("#token-form")).to_be_visible()
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    expect(page.locator("#token-form")).to_be_visible()
    page.fill("#token", "secret")
    page.press("#token", "Enter")
    expect(page.locator("#state")).to_have_attribute("data-state", "ready")
    expect(page.locator("#token-form")).to_be_hidden()
    page.click("#target-reset")
    expect(page.locator("#control-error")).to_have_text("")
    page.reload()  # the tab keeps it
    expect(page.locator("#state")).to_have_attribute("data-state", "ready")


def test_before_the_first_request_the_page_says_so(
    browser: Browser, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    bare = {**environ, "AIO_SYSFS_ROOT": str(tmp_path / "empty")}
    with serve_process(bare) as fresh, closing(Watched(browser, PHONE)) as watched:
        page = open_page(watched, fresh)
        expect(page.locator("#latency-chart .empty")).to_have_text("No request yet")
        expect(page.locator("#changes")).to_contain_text("not changed yet")
        expect(page.locator("#tiles")).to_contain_text("no request yet")
        page.click("#draw")
        expect(page.locator("#guess")).to_have_text("3")
        expect(page.locator("#latency-chart .empty")).to_have_count(0)
        assert watched.complaints == []
