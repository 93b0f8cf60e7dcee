# SPDX-License-Identifier: Apache-2.0
"""The paths of the model repository, around a server of one file."""

import pytest
from fake_engine import LiveServer

INDEX = "/v2/repository/index"
LOAD, UNLOAD = (f"/v2/repository/models/fake/{what}" for what in ("load", "unload"))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready":null}', b'{"ready":true}'])
def test_the_index_of_one_file(live: LiveServer, body: bytes) -> None:
    reply = live.request("POST", INDEX, body)
    assert reply.status == 200
    assert reply.json == [{"name": "fake", "version": "1", "state": "READY"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (LOAD, b'{"parameters":null}'),
        (UNLOAD, b'{"parameters":null}'),
        (UNLOAD, b'{"parameters":{"unload_dependents":null}}'),
    ],
)
def test_null_is_as_good_as_nothing(live: LiveServer, path: str, body: bytes) -> None:
    reply = live.request("POST", path, body)
    assert reply.status == 403  # it is understood; one file can't be loaded or unloaded
    assert "this server serves one file" in reply.json["error"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (INDEX, b'{"ready":1}', "ready must be true or false, got 1"),
        (INDEX, b"[]", "must be a JSON object"),
        (LOAD, b'{"parameters":[]}', "parameters must be a JSON object"),
        (LOAD, b'{"parameters":{"config":"{}"}}', "'config' is not supported"),
        (UNLOAD, b'{"parameters":{"config":"{}"}}', "'config' is not supported"),
    ],
)
def test_wrong_bodies(live: LiveServer, path: str, body: bytes, said: str) -> None:
    reply = live.request("POST", path, body)
    assert reply.status == 400
    assert said in reply.json["error"]
