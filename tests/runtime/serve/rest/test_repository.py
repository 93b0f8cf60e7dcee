# SPDX-License-Identifier: Apache-2.0
"""The paths of the model repository, around a server of one file."""

import pytest
from fake_engine import FakeEngine, LiveServer, serving

from aio.runtime.serve.limits import Limits

INFER = "/v2/models/fake/infer"
INDEX = "/v2/repository/index"
LOAD, UNLOAD = (f"/v2/repository/models/fake/{what}" for what in ("load", "unload"))


def test_a_large_body_is_no_large_batch(live: LiveServer) -> None:
    for path in (LOAD, UNLOAD):
        reply = live.request("POST", path, b" " * 20_000)
        assert reply.status == 413
        assert reply.json["error"] == (
            "the body has 20000 bytes or more, the limit is 16384; send a small JSON object"
        )


def test_a_body_beyond_every_limit_is_no_large_batch_either() -> None:
    limits = Limits(body_bytes=1000, small_body_bytes=1000)
    with serving(FakeEngine, limits) as live:
        live.wait_for(live.announced.is_set)
        for path, remedy in ((LOAD, "send a small JSON object"), (INFER, "smaller batch")):
            reply = live.request("POST", path, b" " * 2000)
            assert reply.status == 413
            assert reply.json["error"].startswith("the body has 2000 bytes or more, the limit is")
            assert reply.json["error"].endswith(remedy)


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
