# SPDX-License-Identifier: Apache-2.0
"""Requests over gRPC that differ in their raw tensors only are decoded once, as over HTTP.

What a message has beside raw tensors, and how long these are, says all but the numbers in them.
"""

from collections.abc import Callable
from typing import NamedTuple

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.hosting.host import ServedModel
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.datatypes import DATATYPES, from_binary
from aio.runtime.serve.protocol.schema import DATATYPE, InferRequest, ModelSpec, SharedMemory
from aio.runtime.serve.protocol.shared_memory import check_outputs
from aio.runtime.serve.rpc import wire
from aio.runtime.serve.rpc.decode import Parsed, decode_request, parse

MAX_REST_BYTES = 4096
MAX_REQUESTS = 64

Find = Callable[[str, str | None], ServedModel]
Key = tuple[bytes, tuple[int, ...]]


class Known(NamedTuple):
    """A request without its tensors, and what they are called and shaped like."""

    place: tuple[str, str | None]  # the model's name, and the version asked for
    spec: ModelSpec
    request: InferRequest
    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    def with_tensors(self, raw: list[memoryview]) -> InferRequest:
        """Return the request with the tensors in `raw`."""
        inputs = {
            name: from_binary(data, shape, DATATYPES[DATATYPE], name)
            for (name, shape), data in zip(self.shapes, raw, strict=True)
        }
        return self.request.with_inputs(inputs)


class DecodeMemo:
    """From the bytes of a message to its model and its request.

    Args:
        find: returns the model of a name and version, or raises what says why there is none.
        limits: bounds of requests.
    """

    def __init__(self, find: Find, limits: Limits) -> None:
        self._find = find
        self._limits = limits
        self._known: dict[Key, Known] = {}

    def decode(
        self,
        data: bytes | memoryview,
        failed: Callable[[ServedModel, BaseException], None],
        memory: SharedMemory | None = None,
    ) -> tuple[ServedModel, InferRequest]:
        """Return the model and the request.

        Args:
            data: the message.
            failed: is told what was wrong with a request to a model that there is.
            memory: the shared memory; None where there is none.
        """
        split = wire.split(data, wire.RAW_INPUT)
        key = (split.rest, tuple(len(raw) for raw in split.raw))
        # A long one is not even looked up: it would be hashed before its length is refused.
        known = self._known.get(key) if len(split.rest) <= MAX_REST_BYTES else None
        if known is not None:
            model = self._find(*known.place)
            if model.spec is known.spec:
                request = known.with_tensors(split.raw)
                try:
                    check_outputs(request, memory)  # the regions of then may be gone
                except RequestError as error:
                    failed(model, error)
                    raise
                return model, request
        parsed = parse(split, self._limits)
        place = (parsed.message.model_name, parsed.message.model_version or None)
        model = self._find(*place)
        try:
            request = decode_request(parsed, model.spec, self._limits, memory)
        except BaseException as error:
            failed(model, error)
            raise
        self._remember(key, place, parsed, model.spec, request)
        return model, request

    def _remember(
        self,
        key: Key,
        place: tuple[str, str | None],
        parsed: Parsed,
        spec: ModelSpec,
        request: InferRequest,
    ) -> None:
        described = parsed.message.inputs
        plain = all(item.datatype == DATATYPE for item in described)
        if not plain or len(parsed.raw) != len(described) or len(key[0]) > MAX_REST_BYTES:
            return
        while len(self._known) >= MAX_REQUESTS:
            del self._known[next(iter(self._known))]
        shapes = tuple((item.name, request.inputs[item.name].shape) for item in described)
        self._known[key] = Known(place, spec, request.with_inputs({}), shapes)
