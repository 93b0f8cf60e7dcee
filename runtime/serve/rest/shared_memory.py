# SPDX-License-Identifier: Apache-2.0
"""The shared memory extension: regions of the system's, which are off unless allowed; no CUDA's.

Clients made for Triton ask for the list, or clear it, before they begin; that is answered as by a
Triton without any region where there can be none.
"""

from reprlib import repr as short_repr

from starlette.requests import Request
from starlette.responses import Response

from aio.runtime.serve.errors import GpuMemoryError, RequestError, UnknownRegionError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.hosting.regions import Region
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rest.answers import json_response
from aio.runtime.serve.rest.small_body import read_object


class SystemMemoryEndpoints:
    """Shared memory of this machine.

    Args:
        host: has the regions.
        limits: bounds for clients.
    """

    def __init__(self, host: Host, limits: Limits) -> None:
        self._regions = host.regions
        self._most_bytes = limits.small_body_bytes

    async def status(self, request: Request) -> Response:
        """List one region, or all."""
        regions = self._regions.status(request.path_params.get("region"))
        return json_response([region._asdict() for region in regions])

    async def register(self, request: Request) -> Response:
        """Let requests use a region."""
        self._regions.check_enabled()  # whatever the body says
        body = await read_object(request, self._most_bytes)
        key = body.get("key")
        if not isinstance(key, str):
            raise RequestError(f"key must be a string, got {short_repr(key)}")
        offset = 0 if body.get("offset") is None else _integer(body, "offset")
        name = request.path_params["region"]
        self._regions.register(Region(name, key, offset, _integer(body, "byte_size")))
        return json_response({})

    async def unregister(self, request: Request) -> Response:
        """Forget one region, or all."""
        self._regions.unregister(request.path_params.get("region"))
        return json_response({})


class CudaMemoryEndpoints:
    """Memory of a GPU, which nothing here computes in."""

    async def status(self, request: Request) -> Response:
        """List the regions: none."""
        region = request.path_params.get("region")
        if region is not None:
            raise UnknownRegionError(region)
        return json_response([])

    async def register(self, _: Request) -> Response:
        """Refuse."""
        raise GpuMemoryError

    async def unregister(self, _: Request) -> Response:
        """Have no region, as asked."""
        return json_response({})


def _integer(body: dict[str, object], name: str) -> int:
    value = body.get(name)
    if type(value) is float and value.is_integer():  # as some writers of JSON give whole numbers
        value = int(value)
    if type(value) is not int:
        raise RequestError(f"{name} must be whole bytes, got {short_repr(value)}")
    return value
