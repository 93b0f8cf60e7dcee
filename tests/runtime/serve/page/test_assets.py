# SPDX-License-Identifier: Apache-2.0
"""The page's files: safe headers, kept by browsers, and nothing from elsewhere."""

import re
from importlib import resources

import pytest
from fake_engine import LiveServer

from aio.runtime.serve.page.assets import TYPES, Assets

NAMES = sorted(Assets().names)
OURS = [name for name in NAMES if not name.startswith("vendor/")]


def text_of(name: str) -> str:
    return (resources.files("aio.runtime.serve.page") / "static").joinpath(name).read_text()


def test_the_page_has_the_headers_of_a_careful_page(live: LiveServer) -> None:
    reply = live.request("GET", "/")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_served_once_for_each_version(live: LiveServer, name: str) -> None:
    reply = live.request("GET", f"/page/{name}")
    assert reply.status == 200
    assert reply.headers["content-type"] == TYPES[name[name.rindex(".") :]]
    tag = reply.headers["etag"]
    for known in (tag, f'W/{tag}, "other"'):
        again = live.request("GET", f"/page/{name}", headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert live.request("GET", f"/page/{name}", headers={"If-None-Match": '"x"'}).body == reply.body


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/nothing.js",
        "/page/../assets.py",
        "/page/%2e%2e/assets.py",
        "/page//etc/passwd",
        "/page/vendor",
        "/page/vendor/../style.css",
        "/page/..%2fassets.py",
        "/page/__init__.py",
    ],
)
def test_no_other_file_is_served(live: LiveServer, path: str) -> None:
    reply = live.request("GET", path)
    assert reply.status == 404
    assert "there is no path" in reply.json["error"]


@pytest.mark.parametrize("name", OURS)
def test_our_files_name_no_other_host(name: str) -> None:
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text_of(name))


def test_the_page_has_no_inline_script_or_style() -> None:
    page = text_of("index.html")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


def test_the_library_comes_with_its_licence() -> None:
    assert "vendor/uPlot.iife.min.js" in NAMES
    assert "MIT License" in text_of("vendor/uPlot.LICENSE.txt")
