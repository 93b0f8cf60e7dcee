# SPDX-License-Identifier: Apache-2.0
"""Shared memory regions, which are off: there are none, and none can be registered.

A region would let a client name memory of this machine. Clients made for Triton ask for the list,
or clear it, before they begin; both is answered as by a Triton without any region.
"""

from starlette.requests import Request
from starlette.responses import Response

from aio.runtime.serve.errors import ControlError, UnknownModelError
from aio.runtime.serve.rest.answers import json_response


class SharedMemoryEndpoints:
    """What is left of the extension."""

    async def status(self, request: Request) -> Response:
        """List the regions: none."""
        region = request.path_params.get("region")
        if region is not None:
            raise UnknownRegionError(f"no shared memory region is named {region[:80]!r}")
        return json_response([])

    async def register(self, _: Request) -> Response:
        """Refuse."""
        raise ControlError(
            "this server has no shared memory regions; send tensors in the request, as binary data"
        )

    async def unregister(self, _: Request) -> Response:
        """Have no region, as asked."""
        return json_response({})


class UnknownRegionError(UnknownModelError):
    """No region of that name is registered."""
