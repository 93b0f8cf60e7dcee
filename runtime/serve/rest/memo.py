# SPDX-License-Identifier: Apache-2.0
"""Requests that differ in their tensors only, as those of one client do, are decoded once.

Decoding checks the JSON of a request member by member, which takes as long as a small model. The
same JSON before a payload of the same size can only mean the same request with other tensors, so
it is looked up. What is remembered is small, and there is little of it.
"""

from typing import NamedTuple

import numpy as np

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.decode import decode_request
from aio.runtime.serve.protocol.schema import InferRequest, ModelSpec, SharedMemory, Tensor
from aio.runtime.serve.protocol.shared_memory import check_outputs

MAX_JSON_BYTES = 4096
MAX_REQUESTS = 64

Memory = bytes | bytearray | memoryview


class Place(NamedTuple):
    """Where in the body a tensor is."""

    start: int
    shape: tuple[int, ...]
    dtype: "np.dtype[np.float32]"


class DecodeMemo:
    """`decode_request`, faster for JSON it has seen before binary tensors."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # The model is compared by identity: another version is another object.
        self._known: dict[
            tuple[int, int, bytes], tuple[ModelSpec, InferRequest, dict[str, Place]]
        ] = {}

    def decode(
        self,
        body: Memory,
        json_bytes: int | None,
        model: ModelSpec,
        memory: SharedMemory | None = None,
    ) -> InferRequest:
        """Return the request in `body`, of which the first `json_bytes` are JSON (None: all)."""
        if json_bytes is None or not 0 < json_bytes <= MAX_JSON_BYTES:
            return decode_request(body, json_bytes, model, self._limits, memory)
        key = (id(model), len(body), bytes(body[:json_bytes]))
        found = self._known.get(key)
        if found is None:
            request = decode_request(body, json_bytes, model, self._limits, memory)
            self._remember(key, model, request, body)
            return request
        _, known, places = found
        inputs = {name: _tensor(body, place) for name, place in places.items()}
        if not all(tensor.flags.aligned for tensor in inputs.values()):
            return decode_request(body, json_bytes, model, self._limits, memory)
        request = known.with_inputs(inputs)
        check_outputs(request, memory)  # the regions of then may be gone
        return request

    def _remember(
        self, key: tuple[int, int, bytes], model: ModelSpec, request: InferRequest, body: Memory
    ) -> None:
        places = {name: _place(tensor, body) for name, tensor in request.inputs.items()}
        known = {name: place for name, place in places.items() if place is not None}
        # A tensor was converted, copied to be aligned, or is in shared memory.
        if len(known) < len(places):
            return
        while len(self._known) >= MAX_REQUESTS:
            del self._known[next(iter(self._known))]
        # The model is kept, or its id could become another one's.
        self._known[key] = model, request.with_inputs({}), known


def _place(tensor: Tensor, body: Memory) -> Place | None:
    """Return where the tensor is, None if it is not a view of the body."""
    start = _address(tensor) - _address(np.frombuffer(body, np.uint8))
    inside = 0 <= start <= len(body) - tensor.nbytes
    if not (inside and tensor.flags.c_contiguous):
        return None
    return Place(start, tensor.shape, tensor.dtype)


def _tensor(body: Memory, place: Place) -> Tensor:
    count = 1
    for side in place.shape:
        count *= side
    return np.frombuffer(body, place.dtype, count, place.start).reshape(place.shape)


def _address(array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> int:
    address: int = array.__array_interface__["data"][0]
    return address
