# SPDX-License-Identifier: Apache-2.0
"""The document and the routes say the same."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer
from starlette.routing import Route

from aio.runtime.serve.hosting.engine import describe
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.datatypes import DATATYPES
from aio.runtime.serve.rest.endpoints import Endpoints
from aio.runtime.serve.rest.infer import InferEndpoint
from aio.runtime.serve.rest.openapi import described, document
from aio.runtime.serve.rest.openapi_operations import OPERATIONS
from aio.runtime.serve.rest.routes import routes
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.telemetry.metrics import Metrics


@pytest.fixture(scope="module")
def table() -> list[Route]:
    host, limits = Host(Dispatcher(1)), Limits()
    endpoints = Endpoints(host, Metrics(), limits)
    found = routes(host, limits, endpoints, InferEndpoint(host, limits))
    assert host.close(timeout_s=5)
    return found


@pytest.fixture
def found(table: list[Route]) -> dict[str, Any]:
    return document(table, [describe(FakeEngine(), "1")], Limits(), "0")


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
        document([Route("/v2/new", lambda _: None, name="new_thing")], [], Limits(), "0")
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
        found = document(table, models, Limits(regions=regions), "0")
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


def test_without_a_model_it_is_a_document_all_the_same(table: list[Route]) -> None:
    found = document(table, [], Limits(), "0")
    assert found["components"]["schemas"]["InferRequest"] == {"not": {}}


def test_it_is_served(live: LiveServer) -> None:
    reply = live.request("GET", "/openapi.json")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["openapi"] == "3.1.0"
    assert "/v2/models/{model}/infer" in reply.json["paths"]
