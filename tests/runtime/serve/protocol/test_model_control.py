# SPDX-License-Identifier: Apache-2.0
"""What may be said to load and unload models, where both transports ask."""

import pytest

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol.model_control import (
    check_load,
    check_repository,
    check_unload,
    flag,
)


@pytest.mark.parametrize("parameters", [{"config": "{}"}, {"unload_dependents": True}, {"x": None}])
def test_a_load_has_no_parameters(parameters: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=f"'{next(iter(parameters))}' is not supported: a model"):
        check_load(parameters)


@pytest.mark.parametrize("value", [True, False, None])
def test_an_unload_may_speak_of_dependents(value: bool | None) -> None:
    parameters = {"unload_dependents": value}
    check_unload(parameters)
    assert flag(parameters, "unload_dependents") is bool(value)


def test_an_unload_has_nothing_else() -> None:
    with pytest.raises(RequestError, match="parameter 'force' is not supported"):
        check_unload({"unload_dependents": True, "force": True})
    with pytest.raises(RequestError, match="unload_dependents must be true or false, got 1"):
        check_unload({"unload_dependents": 1})


def test_there_is_one_repository() -> None:
    check_repository("")
    with pytest.raises(RequestError, match="no repository 'other': this server has one repository"):
        check_repository("other")
