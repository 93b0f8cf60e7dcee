# SPDX-License-Identifier: Apache-2.0
"""The methods of Triton's extensions: what they tell, and what they refuse as HTTP does."""

import json
from typing import Any

import grpc
import pytest
from fake_engine import LiveServer
from rpc_client import Client

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
