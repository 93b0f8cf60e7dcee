# SPDX-License-Identifier: Apache-2.0
"""gRPC as one of the ways that serving.py measures, where it is installed.

As over HTTP, the request is made once and sent again and again, by grpcio's plain stub. The echo
is grpcio's own asyncio server that answers with a constant.
"""

import asyncio
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numpy import float32
from numpy.typing import NDArray

from aio.runtime.runtime import Runtime

ECHO = "/echo.Echo/Echo"


def has_client() -> bool:
    """Return whether grpcio is installed, which the server does without."""
    return importlib.util.find_spec("grpc") is not None


def request(runtime: Runtime, x: NDArray[float32]) -> tuple[str, bytes]:
    """Return the method that infers, and its message."""
    from aio.runtime.serve.rpc.messages import INFERENCE, message  # noqa: PLC0415 -- an extra
    from aio.runtime.serve.rpc.wire import RAW_INPUT, join  # noqa: PLC0415

    head = message("inference.ModelInferRequest")(model_name=runtime.name)
    head.inputs.add(name=runtime.inputs[0].name, datatype="FP32", shape=x.shape)
    return f"/{INFERENCE}/ModelInfer", join(head.SerializeToString(), RAW_INPUT, [x.tobytes()])


@contextmanager
def caller(place: str, method: str, message: bytes) -> Iterator[Callable[[], bytes]]:
    """Yield a call of a method at HOST:PORT."""
    import grpc  # noqa: PLC0415

    with grpc.insecure_channel(place) as channel:
        stub = channel.unary_unary(method)
        yield lambda: bytes(stub(message))


async def echo(answer_bytes: int) -> None:
    """Listen on a free port, which is printed, and answer with so many bytes."""
    import grpc  # noqa: PLC0415

    async def call(_: object, context: Any) -> bytes:
        await context.read()
        return bytes(answer_bytes)

    server = grpc.aio.server()
    service, method = ECHO.strip("/").split("/")
    handlers = {method: grpc.stream_unary_rpc_method_handler(call)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()
