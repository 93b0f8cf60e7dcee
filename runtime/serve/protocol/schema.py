# SPDX-License-Identifier: Apache-2.0
"""What passes between the parts of the server: the model's tensors, a request, an answer.

Plain data; nothing here knows HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from aio.runtime.records import InferenceRecord

DATATYPE = "FP32"
ITEM_BYTES = 4

Tensor = NDArray[np.float32]
Parameter = str | int | float | bool


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of the model; `shape` is without the batch axis."""

    name: str
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Elements of one sample."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class ModelSpec:
    """What a client may know of a model."""

    name: str
    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    levels: int


class Place(NamedTuple):
    """Where in a shared memory region a tensor is, in bytes."""

    region: str
    offset: int
    size: int


class SharedMemory(Protocol):
    """The shared memory regions, as one request may use them; `where` names a tensor in errors."""

    def check(self, place: Place, where: str) -> None:
        """Raise RequestError unless the place is in a region."""

    def read(self, place: Place, where: str) -> memoryview:
        """Return a copy of what is there."""

    def write(self, place: Place, data: bytes, where: str) -> None:
        """Put bytes there."""


@dataclass(frozen=True)
class OutputRequest:
    """One output a client asked for.

    `classes` of 0 is the tensor itself; it goes to `place` if there is one.
    """

    spec: TensorSpec
    binary: bool
    classes: int = 0
    place: Place | None = None


@dataclass(frozen=True)
class InferRequest:
    """A request, checked and decoded.

    `timeout_ms` counts from its arrival. A `priority` of 1 is the highest, 0 the default one.
    """

    request_id: str | None
    inputs: Mapping[str, Tensor]
    outputs: tuple[OutputRequest, ...]
    level: int | None = None
    timeout_ms: float | None = None
    priority: int = 0

    @property
    def samples(self) -> int:
        """Return the size of the batch."""
        return len(next(iter(self.inputs.values()), ()))

    def with_inputs(self, inputs: Mapping[str, Tensor]) -> "InferRequest":
        """Return the same request of other tensors."""
        return InferRequest(
            self.request_id, inputs, self.outputs, self.level, self.timeout_ms, self.priority
        )


@dataclass(frozen=True)
class InferResult:
    """The tensors of an answer by name, what the client is told, and how it went.

    `queue_ms` is how long the request waited for its turn.
    """

    outputs: Mapping[str, Tensor]
    parameters: Mapping[str, Parameter]
    record: "InferenceRecord"
    queue_ms: float = 0.0
