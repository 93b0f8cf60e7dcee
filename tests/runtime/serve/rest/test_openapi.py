# SPDX-License-Identifier: Apache-2.0
"""The document and the routes say the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, serving
from starlette.routing import Route

from aio.runtime.serve.hosting.engine import describe
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.datatypes import DATATYPES
from aio.runtime.serve.protocol.shared_memory import SIZE
from aio.runtime.serve.rest.endpoints import Endpoints
from aio.runtime.serve.rest.infer import InferEndpoint
from aio.runtime.serve.rest.openapi import described, document
from aio.runtime.serve.rest.openapi_operations import OPERATIONS
from aio.runtime.serve.rest.routes import routes
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.security.guard import Policy
from aio.runtime.serve.security.token import Token
from aio.runtime.serve.server import OPEN
from aio.runtime.serve.telemetry.metrics import Metrics


@pytest.fixture(scope="module")
def table() -> list[Route]:
    host, limits = Host(Dispatcher(1)), Limits()
    endpoints = Endpoints(host, Metrics(), limits, Policy())
    found = routes(host, limits, endpoints, InferEndpoint(host, limits))
    assert host.close(timeout_s=5)
    return found


@pytest.fixture
def found(table: list[Route]) -> dict[str, Any]:
    return describing(table, [describe(FakeEngine(), "1")])


def describing(table: list[Route], models: Sequence[Any], policy: Policy = OPEN) -> dict[str, Any]:
    return document(table, models, Limits(), "0", policy.needs_token)


def test_every_route_is_described_and_nothing_else(
    table: list[Route], found: dict[str, Any]
) -> None:
    assert {route.name for route in table} == set(OPERATIONS)
    described_methods = {
        (path, method.upper()) for path, methods in found["paths"].items() for method in methods
    }
    assert described_methods == {
        (route.path, method) for route in table for method in (route.methods or set()) - {"HEAD"}
    }
    for methods in found["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["responses"]


def test_every_reference_leads_somewhere(found: dict[str, Any]) -> None:
    text = json.dumps(found)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in found["components"]["schemas"]


def test_a_route_of_the_protocol_must_be_described() -> None:
    with pytest.raises(KeyError, match="new_thing"):
        describing([Route("/v2/new", lambda _: None, name="new_thing")], [])
    assert described([Route("/", lambda _: None)]) == []


def test_the_request_is_described_for_the_model(found: dict[str, Any]) -> None:
    request = found["components"]["schemas"]["InferRequest"]
    variants = request["properties"]["inputs"]["items"]["anyOf"]
    assert [item["properties"]["datatype"]["const"] for item in variants] == list(DATATYPES)
    shape = variants[0]["properties"]["shape"]
    assert [side.get("const") for side in shape["prefixItems"]] == [None, *SHAPE]
    assert found["paths"]["/v2/models/{model}/infer"]["post"]["parameters"][0]["schema"] == {
        "type": "string",
        "enum": ["fake"],
    }


def test_places_in_shared_memory_where_there_may_be_any(table: list[Route]) -> None:
    def accepts(request: dict[str, Any], regions: int) -> bool:
        models = [describe(FakeEngine(), "1")]
        limits = Limits(regions=regions)
        found = document(table, models, limits, "0", Policy().needs_token)
        schema = found["components"]["schemas"]["InferRequest"]
        return jsonschema_rs.is_valid(schema, request)

    place = {"shared_memory_region": "r", "shared_memory_byte_size": 24}
    image = {"name": "image", "shape": [1, *SHAPE], "datatype": "FP32", "parameters": place}
    output = {"name": "logits", "parameters": place}
    assert accepts({"inputs": [image], "outputs": [output]}, 1)
    assert not accepts({"inputs": [image]}, 0)
    assert not accepts({"inputs": [{**image, "data": [0.0] * 6}]}, 1)
    sent = {"name": "image", "shape": [1, *SHAPE], "datatype": "FP32", "data": [0.0] * 6}
    assert accepts({"inputs": [sent], "outputs": [output]}, 1)
    assert not accepts({"inputs": [sent], "outputs": [output]}, 0)
    assert accepts({"inputs": [sent], "parameters": {"sequence_id": 0}}, 0)
    assert not accepts({"inputs": [sent], "parameters": {"sequence_id": 7}}, 0)
    assert accepts({"inputs": [sent], "parameters": {"timeout": None, "priority": None}}, 0)
    assert not accepts({"inputs": [{**image, "parameters": {**place, SIZE: None}}]}, 1)


def test_without_a_model_it_is_a_document_all_the_same(table: list[Route]) -> None:
    found = describing(table, [])
    assert found["components"]["schemas"]["InferRequest"] == {"not": {}}


@pytest.fixture
def token(tmp_path: Path) -> Token:
    path = tmp_path / "token"
    path.write_text("correct-horse-battery\n")
    path.chmod(0o600)
    return Token.read(path)


@pytest.mark.parametrize("public_metrics", [True, False])
def test_what_needs_the_token_says_so(
    table: list[Route], token: Token, public_metrics: bool
) -> None:
    is_open = {"/v2/health/live", "/v2/health/ready"} | ({"/metrics"} if public_metrics else set())
    found = describing(table, [], Policy(token, public_metrics=public_metrics))
    assert found["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"}
    }
    for path, methods in found["paths"].items():
        for operation in methods.values():
            assert operation.get("security") == (None if path in is_open else [{"bearer": []}])
            assert ("401" in operation["responses"]) == (path not in is_open)
    assert "WWW-Authenticate" in found["paths"]["/v2"]["get"]["responses"]["401"]["headers"]


def test_without_a_token_nothing_is_said_of_one(table: list[Route], found: dict[str, Any]) -> None:
    assert "securitySchemes" not in found["components"]
    assert "401" not in json.dumps(found["paths"])
    assert found == describing(table, [describe(FakeEngine(), "1")], Policy(public_metrics=True))


def test_the_document_of_a_locked_server_is_true(token: Token) -> None:
    bearer = {"Authorization": "Bearer correct-horse-battery"}
    with serving(FakeEngine, policy=Policy(token)) as live:
        live.wait_for(live.announced.is_set)
        found = live.request("GET", "/openapi.json", headers=bearer).json
        for path, methods in found["paths"].items():
            for method, operation in methods.items():
                refused = live.request(method.upper(), path).status == 401
                assert refused == ("security" in operation), path


def test_it_is_served(live: LiveServer) -> None:
    reply = live.request("GET", "/openapi.json")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["openapi"] == "3.1.0"
    assert "/v2/models/{model}/infer" in reply.json["paths"]
