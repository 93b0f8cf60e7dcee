# SPDX-License-Identifier: Apache-2.0
"""Triton's extensions for shared memory, of this machine and of a GPU."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aio.runtime.serve.errors import GpuMemoryError, UnknownRegionError
from aio.runtime.serve.hosting.regions import Region, Regions
from aio.runtime.serve.rpc.messages import message


class SystemMemory:
    """The methods of the extension."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    def answers(self) -> Mapping[str, Callable[[Any], Coroutine[Any, Any, Any]]]:
        """Return the function for each of the methods."""
        return {
            "SystemSharedMemoryStatus": self._status,
            "SystemSharedMemoryRegister": self._register,
            "SystemSharedMemoryUnregister": self._unregister,
        }

    async def _status(self, request: Any) -> Any:
        response = message("inference.SystemSharedMemoryStatusResponse")()
        for region in self._regions.status(request.name or None):
            status = response.regions[region.name]
            status.name, status.key = region.name, region.key
            status.offset, status.byte_size = region.offset, region.byte_size
        return response

    async def _register(self, request: Any) -> Any:
        self._regions.register(Region(request.name, request.key, request.offset, request.byte_size))
        return message("inference.SystemSharedMemoryRegisterResponse")()

    async def _unregister(self, request: Any) -> Any:
        self._regions.unregister(request.name or None)
        return message("inference.SystemSharedMemoryUnregisterResponse")()


class CudaMemory:
    """The methods for memory of a GPU, which nothing here computes in."""

    def answers(self) -> Mapping[str, Callable[[Any], Coroutine[Any, Any, Any]]]:
        """Return the function for each of the methods."""
        return {
            "CudaSharedMemoryStatus": self._status,
            "CudaSharedMemoryRegister": self._register,
            "CudaSharedMemoryUnregister": self._unregister,
        }

    async def _status(self, request: Any) -> Any:
        if request.name:
            raise UnknownRegionError(request.name)
        return message("inference.CudaSharedMemoryStatusResponse")()

    async def _register(self, _: Any) -> Any:
        raise GpuMemoryError

    async def _unregister(self, _: Any) -> Any:
        # There is no region, as asked: clients forget all of both kinds when they end.
        return message("inference.CudaSharedMemoryUnregisterResponse")()
