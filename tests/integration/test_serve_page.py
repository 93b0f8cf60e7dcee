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
from typing import TYPE_CHECKING, Any

import pytest
from digit_strokes import DIGITS
from page_parts import (
    DESKTOP,
    PATIENCE_MS,
    PHONE,
    Watched,
    infer,
    machine_with_clocks,
    open_page,
    state,
)
from playwright.sync_api import Browser, expect
from serve_process import ServeProcess, environment, serve_process, wait_for

if TYPE_CHECKING:
    from fake_machine import FakeMachine

TOP_KHZ, LOW_KHZ = 2_000_000, 1_000_000


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> FakeMachine:
    return machine_with_clocks(tmp_path_factory.mktemp("root"), LOW_KHZ, TOP_KHZ)


@pytest.fixture(scope="module")
def environ(machine: FakeMachine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("page"), AIO_SYSFS_ROOT=str(machine.root))


@pytest.fixture(scope="module")
def server(environ: dict[str, str]) -> Iterator[ServeProcess]:
    with serve_process(environ) as running:
        yield running


def control(server: ServeProcess, **members: float | None) -> None:
    body = json.dumps({"model": server.model, **members}).encode()
    json_type = {"content-type": "application/json"}
    assert server.request("POST", "/control", body, json_type)[0] == 200


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


# In the order of the page's examples.
EXAMPLES = "3728546910"


def test_the_digits_that_the_page_draws_are_recognised(
    watched: Watched, server: ServeProcess
) -> None:
    control(server, target_ms=1000)
    page = open_page(watched, server)
    for digit in EXAMPLES:
        with page.expect_response("**/infer"):
            page.click("#draw")
        expect(page.locator("#guess")).to_have_text(digit)
        expect(page.locator("#guess-text")).to_contain_text("level 0 (0 % zeros)")
    control(server, target_ms=None)


def test_only_the_first_finger_and_the_main_button_draw(
    watched: Watched, server: ServeProcess
) -> None:
    page = open_page(watched, server)
    pad = page.locator("#pad")
    pad.click(button="right")
    pad.click(button="middle")
    expect(page.locator("#guess-text")).to_have_text("Nothing drawn yet.")
    second = {"pointerId": 7, "isPrimary": False, "button": 0, "clientX": 100, "clientY": 100}
    pad.dispatch_event("pointerdown", second)
    pad.dispatch_event("pointerup", second)
    expect(page.locator("#guess-text")).to_have_text("Nothing drawn yet.")
    with page.expect_response("**/infer"):
        pad.click()
    expect(page.locator("#guess-text")).to_contain_text("sure")


def test_an_old_answer_does_not_stay_beside_a_new_drawing(
    watched: Watched, server: ServeProcess
) -> None:
    page = open_page(watched, server)
    page.click("#draw")
    expect(page.locator("#guess")).to_have_text("3")
    refused = []

    def refuse(route: Any) -> None:
        refused.append(route.request.url)
        route.abort()

    page.route("**/infer", refuse)
    page.click("#draw")
    expect(page.locator("#guess-text")).to_have_text("The server does not answer.")
    expect(page.locator("#guess")).to_have_text("\u00a0")
    expect(page.locator("#classes li.best")).to_have_count(0)
    page.select_option("#rate", "100")
    page.check("#keep")
    page.wait_for_timeout(2500)
    assert len(refused) <= 4  # after 1, 2, 4 s, not a hundred a second
    page.unroute("**/infer")
    expect(page.locator("#guess")).to_have_text("7", timeout=PATIENCE_MS)


def test_dense_screens_have_letters_of_their_size(browser: Browser, server: ServeProcess) -> None:
    note_fonts = """() => {
      const drawing = CanvasRenderingContext2D.prototype;
      const { set, get } = Object.getOwnPropertyDescriptor(drawing, "font");
      globalThis.fonts = [];
      Object.defineProperty(drawing, "font", {
        get,
        set(font) { fonts.push(font); set.call(this, font); },
      });
    }"""
    for density in (1, 2, 3):
        with closing(Watched(browser, density=density)) as watched:
            watched.page.add_init_script(f"({note_fonts})()")
            page = open_page(watched, server)
            wait_for(lambda page=page: page.evaluate("fonts.length") > 0, "letters")  # type: ignore[misc]
            sizes = {font.partition("px")[0] for font in page.evaluate("fonts")}
            assert sizes == {f"{12 * density}"}


# Feeds a history with snapshots at some times, with points at others, and returns its columns.
HISTORY = """async ([times, points]) => {
  const { History } = await import("/page/history.js");
  const history = new History();
  const policies = [{ name: "cpu", cur_khz: 5, max_khz: 9 }];
  const device = { clock: { policies, error: null }, gpus: [] };
  const model = { window: { p50_ms: 1, p95_ms: 2 }, target_ms: 3, last: null, decisions: [] };
  times.forEach((time_s, at) => {
    history.add({ time_s, device }, { ...model, points: points[at] ?? [] });
  });
  return history.ticks.map(({ time, p50, target, level, clocks }) =>
    [time, p50, target, level, clocks.cpu ?? null]);
}"""


def test_lines_are_not_drawn_over_time_that_nobody_saw(
    watched: Watched, server: ServeProcess
) -> None:
    page = open_page(watched, server)
    point = [105.0, 0.5, 0, 2, 0.5, 4, 7]
    ticks = page.evaluate(HISTORY, [[100, 100.2, 110, 110.2], [[], [], [point]]])
    assert ticks == [
        [100, 1, 3, None, 5],
        [100.2, 1, 3, None, 5],
        [100.4, None, None, None, None],
        [105, None, 4, 2, 7],
        [105.2, None, None, None, None],
        [110, 1, 3, None, 5],
        [110.2, 1, 3, None, 5],
    ]
    assert page.evaluate(HISTORY, [[100, 50], []]) == [[50, 1, 3, None, 5]]  # a clock set back


def test_the_rows_of_the_plan_are_lit(watched: Watched, server: ServeProcess) -> None:
    page = open_page(watched, server)
    infer(server, 1)
    last = state(server)["last"]
    assert last["level"] in last["plan_levels"]
    lit = page.locator("#levels tr.active td:first-child")
    expect(lit).to_have_text([f"{level}" for level in last["plan_levels"]])
    # It stays when nothing is asked any more.
    page.wait_for_timeout(1500)
    expect(page.locator("#ratio-readout")).to_contain_text(f"at level {last['level']}")
