# SPDX-License-Identifier: Apache-2.0
"""What a request to list, load or unload models may say, over either transport.

Models come from the directory the server was started with and from nowhere else, so a client can
give neither files nor a configuration. A member that is null counts as one that is not there.
"""

from collections.abc import Mapping
from reprlib import repr as short_repr

from aio.runtime.serve.errors import RequestError

UNLOAD_DEPENDENTS = "unload_dependents"  # tritonclient always sends it; no model has dependents


def check_load(parameters: Mapping[str, object]) -> None:
    """Raise RequestError if a load has parameters."""
    for name in parameters:
        raise RequestError(
            f"parameter {short_repr(name)} is not supported: a model is loaded as it is "
            "in the model repository"
        )


def check_unload(parameters: Mapping[str, object]) -> None:
    """Raise RequestError if an unload has other parameters than a flag for dependents."""
    flag(parameters, UNLOAD_DEPENDENTS)
    for name in parameters:
        if name != UNLOAD_DEPENDENTS:
            raise RequestError(f"parameter {short_repr(name)} is not supported")


def check_repository(name: str) -> None:
    """Raise RequestError if a request is for a repository by its name, as there is only one."""
    if name:
        raise RequestError(
            f"there is no repository {short_repr(name)}: this server has one repository; leave "
            "repository_name empty"
        )


def flag(members: Mapping[str, object], name: str) -> bool:
    """Return a member that is true or false; false if it is not there."""
    value = members.get(name)
    if value is None:
        return False
    if type(value) is not bool:
        raise RequestError(f"{name} must be true or false, got {short_repr(value)}")
    return value
