# SPDX-License-Identifier: Apache-2.0
"""The system's Chromium for tests of the live page."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

VARIABLE = "AIO_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium_path() -> str:
    found = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, (
        f"no Chromium: install it (`apt-get install chromium`), or set {VARIABLE} to the program"
    )
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser without a window. Its sandbox needs rights that containers don't give."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()
