# SPDX-License-Identifier: Apache-2.0
"""From the server's options to the policy of its guard, and whether its user is a wise choice."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from aio.runtime.serve.security.guard import Policy
from aio.runtime.serve.security.names import HostNames
from aio.runtime.serve.security.origins import Origins
from aio.runtime.serve.security.token import Token

_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
_CONTAINER_VARIABLES = ("container", "KUBERNETES_SERVICE_HOST")


def make_policy(
    host: str,
    *,
    token_file: Path | None = None,
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
    public_metrics: bool = False,
) -> Policy:
    """Return who may ask.

    With a token any name in Host will do, unless names were given: a page that has its own name
    point here has no token. Without one, the names are what keeps such pages out.

    Raises:
        InputError: the token file is not usable, or a name or an origin is none.
    """
    token = None if token_file is None else Token.read(token_file)
    names = tuple(allowed_hosts)
    hosts = None if token is not None and not names else HostNames([*names, host])
    return Policy(token, hosts, Origins(allowed_origins), public_metrics)


def root_warning(user: int, *, contained: bool) -> str | None:
    """Return what is wrong with running as this user, None if nothing is."""
    if user != 0 or contained:
        return None
    return (
        "running as root, which the server never needs: use a user of its own, such as that of "
        "scripts/aio-serve.service; sensors that only root may read come from `aio governor`"
    )


def in_container(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process looks like one in a container."""
    return any(name in environ for name in _CONTAINER_VARIABLES) or any(
        path.exists() for path in _CONTAINER_FILES
    )
