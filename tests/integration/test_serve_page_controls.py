# SPDX-License-Identifier: Apache-2.0
"""The controls of the live page: by mouse and keyboard, right and wrong, of several models."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from model_parts import ModelBuilder
from page_parts import PHONE, Watched, machine_with_clocks, open_page, state
from playwright.sync_api import Browser, Page, expect
from serve_process import ServeProcess, environment, serve_process, wait_for

if TYPE_CHECKING:
    from fake_machine import FakeMachine

LONG = "a-model-with-a-name-that-is-longer-than-the-screen-of-a-phone-is-wide-as-some-are"
ACCURACIES = (0.95667, 0.9, 0.8)
TOP_KHZ, LOW_KHZ = 2_000_000, 500_000
FOCUSED = "document.activeElement.id"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> FakeMachine:
    return machine_with_clocks(tmp_path_factory.mktemp("root"), LOW_KHZ, TOP_KHZ)


@pytest.fixture(scope="module")
def server(
    machine: FakeMachine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    folder = tmp_path_factory.mktemp("controls")
    with serve_process(environment(folder, AIO_SYSFS_ROOT=str(machine.root))) as running:
        yield running


def model_bytes(ratios: tuple[float, ...], accuracies: tuple[float, ...] | None) -> bytes:
    builder = ModelBuilder((1, 4, 4), ratios, accuracies=accuracies)
    builder.conv("conv", "x", (16, 1, 3, 3), padding=(1, 1, 1, 1))
    builder.node("flat", "flatten", ["conv"])
    builder.linear("head", "flat", (3, 256))
    return builder.finish(["head"], ("ant", "bee", "cat"), name="inside").to_bytes()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    folder = tmp_path_factory.mktemp("several")
    models = folder / "models"
    models.mkdir()
    (models / "a.aio").write_bytes(model_bytes((0.0, 0.5, 0.75), ACCURACIES))
    (models / f"{LONG}.aio").write_bytes(model_bytes((0.0, 0.25, 0.9), None))
    control = "--model-repository", models, "--model-control", "explicit"
    with serve_process(environment(folder), *control) as running:
        yield running


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    with closing(Watched(browser)) as one:
        yield one


def enter(page: Page, field: str, text: str) -> None:
    page.fill(field, text)
    page.press(field, "Enter")


def test_controls_change_the_server_and_show_its_errors(
    watched: Watched, server: ServeProcess
) -> None:
    page = open_page(watched, server)
    expect(page.locator("#target-hint")).to_contain_text("default")
    enter(page, "#target", "7.5")
    expect(page.locator("#target-hint")).to_have_text("7.50 ms in force, given")
    assert state(server)["target_ms"] == 7.5
    enter(page, "#accuracy", "99.3")
    expect(page.locator("#accuracy-hint")).to_contain_text("99.30 % in force")
    allowed = state(server)["allowed_levels"]
    assert 0 < len(allowed) < 9
    expect(page.locator("#levels tr.barred")).to_have_count(9 - len(allowed))
    enter(page, "#accuracy", "99.99")
    expect(page.locator("#accuracy-error")).to_contain_text("the best level has 99.72 %")
    assert state(server)["min_accuracy"] == 0.993
    page.click("#accuracy-reset")
    page.click("#target-reset")
    expect(page.locator("#control-error")).to_have_text("")
    expect(page.locator("#target-hint")).to_contain_text("default")
    expect(page.locator("#levels tr.barred")).to_have_count(0)
    assert state(server)["given_target_ms"] is None


def test_an_answer_leaves_alone_what_is_being_typed(watched: Watched, server: ServeProcess) -> None:
    page = open_page(watched, server)
    asked: list[Any] = []

    def slowly(route: Any) -> None:
        asked.append(route.request.post_data_json)
        time.sleep(0.5)
        route.continue_()

    page.route("**/control", slowly)
    page.fill("#target", "8")
    with page.expect_response("**/control"):
        page.press("#target", "Tab")
        page.focus("#accuracy")
        page.keyboard.type("99")
    time.sleep(1)  # the answer, and some ticks
    expect(page.locator("#accuracy")).to_have_value("99")
    assert page.evaluate(FOCUSED) == "accuracy"
    assert [list(one)[1] for one in asked] == ["target_ms"]
    page.keyboard.press("Escape")  # gives it up
    expect(page.locator("#accuracy")).to_have_value("")
    page.click("#target-reset")
    expect(page.locator("#target-hint")).to_contain_text("default")


def test_the_keyboard_is_enough(watched: Watched, server: ServeProcess) -> None:
    page = open_page(watched, server)
    enter(page, "#target", "5")
    expect(page.locator("#target-hint")).to_contain_text("5.00 ms in force")
    for value in (5.1, 5.2, 5.3):
        page.keyboard.press("ArrowUp")
        wait_for(lambda value=value: state(server)["target_ms"] == value, f"a target of {value}")  # type: ignore[misc]
    page.keyboard.press("ArrowDown")
    wait_for(lambda: state(server)["target_ms"] == 5.2, "a target of 5.2")
    assert page.evaluate(FOCUSED) == "target"
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "target-slider"
    enter(page, "#target", "0.2")  # within the slider's ends
    expect(page.locator("#target-hint")).to_contain_text("0.200 ms in force")
    page.focus("#target-slider")
    before = 0.2
    for _ in range(5):  # each press is a step of its own
        page.keyboard.press("ArrowRight")
        wait_for(lambda low=before: state(server)["target_ms"] > low, "a longer target")  # type: ignore[misc]
        before = state(server)["target_ms"]
    assert page.evaluate(FOCUSED) == "target-slider"
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "target-reset"
    page.keyboard.press("Enter")
    expect(page.locator("#target-hint")).to_contain_text("default")
    assert page.evaluate(FOCUSED) == "target-reset"


def test_a_step_of_the_slider_is_one_also_after_the_clock_moved(
    watched: Watched, server: ServeProcess, machine: FakeMachine
) -> None:
    page = open_page(watched, server)
    enter(page, "#target", "0.2")
    expect(page.locator("#target-hint")).to_contain_text("0.200 ms in force")
    page.focus("#target-slider")
    takes = page.locator("#levels .takes").first
    before = takes.inner_text()
    try:
        machine.set_khz(LOW_KHZ)
        expect(page.locator("#tiles")).to_contain_text("500MHz")
        expect(takes).not_to_have_text(before)
        page.wait_for_timeout(1000)  # some ticks
        page.keyboard.press("ArrowRight")
        wait_for(lambda: state(server)["target_ms"] != 0.2, "another target")
        assert 0.2 < state(server)["target_ms"] < 0.21
    finally:
        machine.set_khz(TOP_KHZ)
    page.click("#target-reset")
    expect(page.locator("#target-hint")).to_contain_text("default")


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("target", "abc", "“abc” is not a number"),
        ("target", "-", "“-” is not a number"),
        ("target", "1e", "“1e” is not a number"),
        ("target", "1e400", "too large"),
        ("target", "0", "must be at least 0.001 ms"),
        ("target", "1e-9", "must be at least 0.001 ms"),
        ("target", "-3", "must be at least 0.001 ms"),
        ("accuracy", "101", "goes from 0 to 100 %"),
        ("accuracy", "99.8", "the best level has 99.72 %"),
        ("accuracy", "x", "“x” is not a number; write it like 95.5"),
    ],
)
def test_what_is_wrong_is_kept_and_said_in_words(
    watched: Watched, server: ServeProcess, field: str, text: str, message: str
) -> None:
    page = open_page(watched, server)
    enter(page, "#target", "6")
    expect(page.locator("#target-hint")).to_contain_text("6.00 ms in force")
    page.click(f"#{field}")
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    name = {"target": "Latency target", "accuracy": "Accuracy floor"}[field]
    expect(page.locator(f"#{field}-error")).to_contain_text(name)
    expect(page.locator(f"#{field}-error")).to_contain_text(message)
    time.sleep(0.7)  # some ticks
    expect(page.locator(f"#{field}")).to_have_value(text)
    expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
    found = state(server)
    assert (found["target_ms"], found["min_accuracy"]) == (6, None)
    page.fill(f"#{field}", "7")  # right again, though not yet asked for
    expect(page.locator(f"#{field}-error")).to_have_text("")
    page.keyboard.press("Escape")
    page.click("#target-reset")
    expect(page.locator("#target-hint")).to_contain_text("default")


def test_a_comma_is_a_decimal_point(watched: Watched, server: ServeProcess) -> None:
    page = open_page(watched, server)
    page.click("#target")
    page.keyboard.press("Control+a")
    page.keyboard.type("1,5")
    page.keyboard.press("Enter")
    expect(page.locator("#target-hint")).to_contain_text("1.50 ms in force")
    assert state(server)["target_ms"] == 1.5
    page.click("#target-reset")
    expect(page.locator("#target-hint")).to_contain_text("default")


def test_another_model_has_its_own_levels_and_no_errors_of_the_first(
    watched: Watched, several: ServeProcess
) -> None:
    page = open_page(watched, several)
    zeros = page.locator("#levels td:nth-child(2)")
    page.select_option("#model-choice", "a")
    expect(zeros).to_have_text(["0 %", "50 %", "75 %"])
    # What is shown as the best is accepted when it is typed.
    expect(page.locator("#levels td:nth-child(3)").first).to_have_text("95.66 %")
    enter(page, "#accuracy", "95.66")
    expect(page.locator("#accuracy-hint")).to_have_text("95.66 % in force, 1 of 3 levels")
    enter(page, "#accuracy", "95.67")
    expect(page.locator("#accuracy-error")).to_contain_text("the best level has 95.66 %")
    page.select_option("#model-choice", LONG)
    expect(zeros).to_have_text(["0 %", "25 %", "90 %"])
    expect(page.locator("#accuracy-error")).to_have_text("")
    expect(page.locator("#accuracy")).to_have_value("")
    enter(page, "#accuracy", "50")
    expect(page.locator("#accuracy-error")).to_contain_text("this model has none")
    assert watched.complaints == []


def test_a_long_name_fits_a_phone(browser: Browser, several: ServeProcess) -> None:
    with closing(Watched(browser, PHONE, has_touch=True, is_mobile=True)) as watched:
        page = open_page(watched, several)
        page.select_option("#model-choice", LONG)
        expect(page.locator("#model")).to_have_text(LONG)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        dot = page.locator("#state").bounding_box()
        assert dot is not None
        assert (dot["width"], dot["height"]) == (10, 10)
        for control in ("#target", "#target-slider", "#target-reset", "#spans button >> nth=0"):
            box = page.locator(control).bounding_box()
            assert box is not None
            assert box["height"] >= 44
        size = page.evaluate("getComputedStyle(document.getElementById('target')).fontSize")
        assert size == "16px"


def test_without_a_model_nothing_can_be_set_and_nothing_looks_live(
    watched: Watched, several: ServeProcess
) -> None:
    page = open_page(watched, several)
    names = {model["name"] for model in json.loads(several.request("GET", "/state")[1])["models"]}
    assert names == {"a", LONG}
    expect(page.locator("#target")).to_be_enabled()
    for name in names:
        assert several.request("POST", f"/v2/repository/models/{name}/unload", b"{}")[0] == 200
    expect(page.locator("#banner")).to_have_text("No model is loaded.")
    expect(page.locator("#state")).to_have_attribute("data-state", "no model")
    expect(page.locator("#target")).to_be_disabled()
    expect(page.locator("#accuracy-reset")).to_be_disabled()
    assert float(page.evaluate("getComputedStyle(document.getElementById('tiles')).opacity")) < 1
    page.reload()  # a page that never knew a model
    expect(page.locator("#banner")).to_have_text("No model is loaded.")
    expect(page.locator("#target")).to_be_disabled()
    assert several.request("POST", "/v2/repository/models/a/load", b"{}")[0] == 200
    expect(page.locator("#target")).to_be_enabled()
    expect(page.locator("#banner")).to_be_hidden()
    assert float(page.evaluate("getComputedStyle(document.getElementById('tiles')).opacity")) == 1
    assert watched.complaints == []
