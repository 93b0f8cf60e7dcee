# SPDX-License-Identifier: Apache-2.0
"""The processes that `aio bench --serve` asks: the server as installed, and echoes.

The echo takes a number of bytes into memory it always uses, and answers with a number of bytes:
what any server on asyncio needs at least.
"""

import asyncio
import sys

from aio.runtime.benchmark import serving_grpc
from aio.runtime.cli import serve_main


class Echo(asyncio.BufferedProtocol):
    """Answers each `len(memory)` bytes with the same bytes."""

    def __init__(self, memory: memoryview, answer: bytes) -> None:
        self._memory, self._answer, self._at = memory, answer, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return self._memory[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        """Answer when all have come."""
        self._at += nbytes
        if self._at == len(self._memory):
            self._at = 0
            self._transport.write(self._answer)


async def echo(request_bytes: int, answer_bytes: int, unix: str) -> None:
    """Listen on a free port, which is printed, and on a Unix socket."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
    body = bytes(max(0, answer_bytes - len(head)))
    answer = head % len(body) + body

    def make() -> Echo:
        return Echo(memoryview(bytearray(request_bytes)), answer)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0)
    await loop.create_unix_server(make, unix)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    if kind == "serve":
        sys.exit(serve_main())
    if kind == "grpc-echo":
        asyncio.run(serving_grpc.echo(int(sys.argv[1])))
    asyncio.run(echo(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
