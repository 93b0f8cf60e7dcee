# SPDX-License-Identifier: Apache-2.0
"""Messages and methods of the services, made from the .proto files when imported.

They live in a pool of their own, so that a client library with the same messages can be in the
same process.
"""

from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.rpc.proto_file import read_proto

FILES = ("inference.proto", "health.proto")
INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"


class Method(NamedTuple):
    """A method of a service; `parse` makes its request of bytes."""

    name: str
    parse: Callable[[bytes], Any]
    client_streams: bool
    server_streams: bool


def message(name: str) -> Any:
    """Return the class of a message by its full name."""
    return GetMessageClass(_pool.FindMessageTypeByName(name))


def methods(service: str) -> tuple[Method, ...]:
    """Return the methods of a service by its full name."""
    return tuple(
        Method(
            method.name,
            GetMessageClass(method.input_type).FromString,
            method.client_streaming,
            method.server_streaming,
        )
        for method in _pool.FindServiceByName(service).methods
    )


def parse_message(parse: Callable[[bytes], Any], data: bytes | memoryview) -> Any:
    """Return the message in `data`, or raise RequestError."""
    try:
        return parse(bytes(data))
    except DecodeError as error:
        raise RequestError(f"the message is not valid protobuf: {error}") from None


def parameters_of(item: Any) -> dict[str, object]:
    """Return the parameters of a request or tensor as plain values; None where one has none."""
    found: dict[str, object] = {}
    for name, value in item.parameters.items():
        choice = value.WhichOneof("parameter_choice")
        found[name] = None if choice is None else getattr(value, choice)
    return found


def _read() -> DescriptorPool:
    pool = DescriptorPool()
    for name in FILES:
        text = (resources.files(__package__) / name).read_text("utf-8")
        pool.AddSerializedFile(read_proto(name, text).SerializeToString())
    return pool


_pool = _read()
