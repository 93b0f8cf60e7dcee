# SPDX-License-Identifier: Apache-2.0
"""The live page in a browser: opened, watched, and the server behind it asked."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fake_machine import FakeMachine, PolicySpec
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from aio.runtime.shipped import EXAMPLE_REQUEST

if TYPE_CHECKING:
    from pathlib import Path

    from serve_process import ServeProcess

DESKTOP, PHONE = (1440, 900), (390, 844)
PATIENCE_MS = 20_000


class Watched:
    """A page, with what it complained of and whom it asked."""

    def __init__(
        self,
        browser: Browser,
        size: tuple[int, int] = DESKTOP,
        theme: Any = "light",
        *,
        density: float = 1,
        **options: Any,
    ) -> None:
        self.context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            device_scale_factor=density,
            **options,
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


def machine_with_clocks(root: Path, *khz: int) -> FakeMachine:
    """Return a machine of two processors that have these clocks."""
    fake = FakeMachine(root)
    fake.add_policy(PolicySpec(0, (0, 1), khz, "cpufreq-dt", "schedutil"))
    return fake


def infer(server: ServeProcess, count: int = 1) -> None:
    body = EXAMPLE_REQUEST.read_bytes()
    for _ in range(count):
        assert server.request("POST", f"/v2/models/{server.model}/infer", body)[0] == 200


def state(server: ServeProcess) -> Any:
    return json.loads(server.request("GET", "/state")[1])["models"][0]


def open_page(watched: Watched, server: ServeProcess) -> Page:
    watched.page.goto(f"http://{server.address}/")
    expect(watched.page.locator("#state")).to_have_attribute("data-state", "ready")
    return watched.page
