# SPDX-License-Identifier: Apache-2.0
"""Who sees the live page, how many at once, and what it says when the server is silent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from page_parts import Watched, infer, open_page
from playwright.sync_api import Browser, Page, expect
from serve_process import ServeProcess, environment, serve_process

FIRST, SECOND = "the-first-token-of-this-test", "the-second-token-of-this-test"
WINDOWS = 8  # more than the connections that a browser opens to one server


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("token") / "token"


def write_token(path: Path, token: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(f"{token}\n")
    draft.chmod(0o600)
    draft.replace(path)


@pytest.fixture
def guarded(token_file: Path, tmp_path: Path) -> Iterator[ServeProcess]:
    write_token(token_file, FIRST)
    with serve_process(environment(tmp_path), "--token-file", token_file) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    with serve_process(environment(tmp_path_factory.mktemp("access"))) as running:
        yield running


@pytest.fixture(params=["shared", "alone"])
def watched(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Watched]:
    with closing(Watched(browser)) as one:
        if request.param == "alone":
            one.page.add_init_script("delete globalThis.SharedWorker")
        yield one


def give(page: Page, token: str) -> None:
    expect(page.locator("#token-form")).to_be_visible()
    page.fill("#token", token)
    page.press("#token", "Enter")


def expect_ready(page: Page) -> None:
    expect(page.locator("#state")).to_have_attribute("data-state", "ready")


def test_a_token_is_asked_for_kept_and_asked_for_again(
    watched: Watched, guarded: ServeProcess, token_file: Path
) -> None:
    page = watched.page
    page.goto(f"http://{guarded.address}/")
    said = page.locator("#token-error")
    for unsendable in ("пароль", "a token", "naïve"):
        give(page, unsendable)
        expect(said).to_contain_text("only letters, digits and")
    assert page.evaluate("sessionStorage.length") == 0
    give(page, "wrong-but-of-good-form")
    expect(said).to_have_text("This token is not one of the server's.")
    expect(page.locator("#banner")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0
    give(page, f" {FIRST} ")
    expect_ready(page)
    expect(page.locator("#token-form")).to_be_hidden()
    page.click("#target-reset")
    expect(page.locator("#target-hint")).to_contain_text("default")
    expect(page.locator("#control-error")).to_have_text("")
    page.reload()  # the tab keeps it
    expect_ready(page)
    write_token(token_file, SECOND)
    expect(page.locator("#token-form")).to_be_visible(timeout=15_000)
    expect(page.locator("#state")).to_have_attribute("data-state", "gone")
    give(page, SECOND)
    expect_ready(page)


def test_a_token_from_before_that_no_request_can_carry_is_no_dead_end(
    watched: Watched, guarded: ServeProcess
) -> None:
    page = watched.page
    page.add_init_script(
        "sessionStorage.getItem('aio-token') ?? sessionStorage.setItem('aio-token', 'ключ')"
    )
    page.goto(f"http://{guarded.address}/")
    give(page, FIRST)
    expect_ready(page)


def test_any_refused_request_asks_for_the_token(watched: Watched, guarded: ServeProcess) -> None:
    page = watched.page
    page.goto(f"http://{guarded.address}/")
    give(page, FIRST)
    expect_ready(page)
    page.route("**/control", lambda route: route.fulfill(status=401, body='{"error": "no"}'))
    page.click("#target-reset")
    expect(page.locator("#token-form")).to_be_visible()
    expect(page.locator("#token-error")).to_have_text("This token is not one of the server's.")


def test_many_windows_of_one_browser(browser: Browser, server: ServeProcess) -> None:
    with closing(Watched(browser)) as watched:
        pages = [open_page(watched, server)]
        for _ in range(WINDOWS - 1):
            page = watched.context.new_page()
            page.goto(f"http://{server.address}/")
            expect_ready(page)
            pages.append(page)
        infer(server, 3)
        for page in pages:
            expect(page.locator("#tiles")).to_contain_text("3 in all")
        pages[-1].click("#draw")  # a request finds a connection too
        expect(pages[-1].locator("#guess")).to_have_text("3")
        pages[0].close()
        infer(server, 1)
        expect(pages[1].locator("#tiles")).to_contain_text("5 in all")
        assert watched.complaints == []


def test_a_server_that_hangs_does_not_answer(watched: Watched, server: ServeProcess) -> None:
    page = open_page(watched, server)
    page.click("#draw")
    expect(page.locator("#guess")).to_have_text("3")
    server.process.send_signal(signal.SIGSTOP)
    try:
        page.click("#draw")
        expect(page.locator("#banner")).to_have_text(
            "The server does not answer. Trying again …", timeout=15_000
        )
        expect(page.locator("#state-text")).to_contain_text("does not answer")
        opacity = page.evaluate("getComputedStyle(document.getElementById('tiles')).opacity")
        assert float(opacity) < 1
        expect(page.locator("#guess-text")).to_have_text(
            "The server does not answer.", timeout=15_000
        )
        expect(page.locator("#guess")).to_have_text("\u00a0")
    finally:
        server.process.send_signal(signal.SIGCONT)
    expect_ready(page)
    expect(page.locator("#banner")).to_be_hidden()


def test_a_hidden_page_asks_for_nothing(watched: Watched, server: ServeProcess) -> None:
    page = open_page(watched, server)
    hide = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    # What had come before may still be drawn: rates of earlier tests fall in every tick.
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => drawn()))")
    before = page.locator("#tiles").inner_text()
    infer(server, 1)
    page.wait_for_timeout(1000)
    assert page.locator("#tiles").inner_text() == before
    page.evaluate(hide, False)
    expect(page.locator("#tiles")).not_to_have_text(before)
    expect_ready(page)
    assert watched.complaints == []
