# SPDX-License-Identifier: Apache-2.0
"""Changing target and accuracy floor while serving."""

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.hosting.settings import Settings
from aio.runtime.serve.page.snapshot import settings_dict

MODEL = "model"


class Controls:
    """Checks and applies what the page asks for; `null` is what the server was started with.

    Args:
        host: the models.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def apply(self, request: object) -> dict[str, object]:
        """Change what the request names, all or nothing, and return what is in force then.

        Raises:
            RequestError: the request is not an object of known members.
            UnknownModelError: there is no such model.
            UnavailableError: no model is ready.
            InputError: a value is out of range.
        """
        name, changes = _checked(request)
        model = self._host.find(name)
        model.settings.change(changes)
        return {MODEL: name, **settings_dict(model.engine)}


def _checked(request: object) -> tuple[str, dict[str, float | None]]:
    known = (MODEL, *Settings._fields)
    if not isinstance(request, dict) or not isinstance(request.get(MODEL), str):
        raise RequestError(f"expected a JSON object with the members {', '.join(known)}")
    unknown = [key for key in request if key not in known]
    if unknown:
        raise RequestError(f"unknown member {unknown[0][:80]!r}; there is {', '.join(known)}")
    changes: dict[str, float | None] = {}
    for key in Settings._fields:
        if key in request:
            value = request[key]
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise RequestError(f"{key} is {str(value)[:80]!r}, expected a number or null")
            try:
                changes[key] = None if value is None else float(value)
            except OverflowError:
                raise RequestError(f"{key} is larger than a number can be") from None
    return str(request[MODEL]), changes
