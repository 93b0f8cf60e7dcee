# SPDX-License-Identifier: Apache-2.0
"""The methods of Triton's extensions: what they tell, and what they refuse as HTTP does."""

import json
from contextlib import closing
from typing import Any

import grpc
import pytest
from fake_engine import FakeEngine, LiveServer, serving
from google.protobuf.json_format import MessageToDict
from rpc_client import Client

from aio.runtime.serve.limits import Limits

Code = grpc.StatusCode
REPOSITORY = ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload")


def failure(client: Client, name: str, **fields: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        client.call(name, **fields)
    return caught.value


@pytest.mark.parametrize("what", ["load", "unload"])
@pytest.mark.parametrize(
    ("name", "value", "choice"),
    [("config", "{}", "string_param"), ("unload_dependents", "yes", "string_param")],
)
def test_parameters_are_refused_as_over_http(
    client: Client, live: LiveServer, what: str, name: str, value: object, choice: str
) -> None:
    method = f"RepositoryModel{what.capitalize()}"
    error = failure(client, method, model_name="fake", parameters={name: {choice: value}})
    assert error.code() is Code.INVALID_ARGUMENT
    body = json.dumps({"parameters": {name: value}}).encode()
    reply = live.request("POST", f"/v2/repository/models/fake/{what}", body)
    assert reply.status == 400
    assert error.details() == reply.json["error"]


@pytest.mark.parametrize("value", [{"bool_param": True}, {}])
def test_unload_dependents_is_understood(client: Client, value: dict[str, object]) -> None:
    parameters = {"unload_dependents": value}
    error = failure(client, "RepositoryModelUnload", model_name="fake", parameters=parameters)
    assert error.code() is Code.PERMISSION_DENIED  # the server is one of one file


@pytest.mark.parametrize("name", REPOSITORY)
def test_a_repository_by_its_name(client: Client, name: str) -> None:
    error = failure(client, name, repository_name="other")
    assert error.code() is Code.INVALID_ARGUMENT
    assert "'other': this server has one repository" in error.details()


@pytest.mark.parametrize("limits", [Limits(), Limits(merged_batch=8, merge_wait_ms=1.5)])
def test_the_config_of_http_has_a_field_for_everything(limits: Limits) -> None:
    engine = FakeEngine()
    with serving(lambda: engine, limits, grpc=True) as live, closing(Client(live.grpc)) as client:
        live.wait_for(live.announced.is_set)
        config = client.call("ModelConfig", name="fake").config
        told = live.request("GET", "/v2/models/fake/config").json
    as_json = MessageToDict(
        config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert set(told) <= set(as_json)
    assert as_json["version_policy"] == told["version_policy"] == {"latest": {"num_versions": 1}}
    for name in ("instance_group", "default_model_filename", "parameters", "model_warmup"):
        assert as_json[name] == told[name]
    assert config.parameters["levels"].string_value == "3"
    assert config.HasField("model_transaction_policy")
