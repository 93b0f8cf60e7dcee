# SPDX-License-Identifier: Apache-2.0
"""Bounds on what a client may make the server hold, parse, or wait for. Bytes and seconds.

Every bound is an attribute here and nowhere else, so a deployment can see and change all of
them at once. The defaults suit a device with a few hundred MB to spare.
"""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The bounds of one server.

    Attributes:
        body_bytes: Largest request body, whether declared or streamed.
        json_bytes: Largest JSON part of a request. Parsing takes memory and holds the interpreter,
            so it is smaller than `body_bytes`; an image of 3x224x224 floats fits.
        small_body_bytes: Largest body of a request that is no inference, such as to load a model.
        buffered_bytes: All request bodies held at one time, over all connections.
        batch: Most samples in one request; a huge batch would hold the one executor.
        queue: Requests waiting for the executor or running in it; one more is refused.
        queue_ms: How long a request without a timeout may wait for its turn; infinity for no limit.
        loads: Requests to load or unload models at one time; one more is refused.
        merged_batch: Samples of requests that run merged into one; 1 is no merging.
        merge_wait_ms: How long a request may wait for others to be merged with.
        regions: Shared memory regions that clients may register; 0 is no shared memory.
        connections: Open connections; one more is answered 503 and closed.
        listeners: Open event streams of the live page; one more is refused.
        head_bytes: Largest head of a request: its first line and its headers.
        headers: Most headers of a request.
        head_s: Time a client has to send a request's head, and to read a response.
        body_s: Time a client has to send a request's body.
        keep_alive_s: How long an idle connection is kept.
        linger_s: How long bytes of a client are dropped that was answered before it had sent all.
        stop_s: Time given to running requests when the server is told to stop.
    """

    body_bytes: int = 64 * MIB
    json_bytes: int = 8 * MIB
    small_body_bytes: int = 16 * 1024
    buffered_bytes: int = 256 * MIB
    batch: int = 1024
    queue: int = 64
    queue_ms: float = 1000.0
    loads: int = 8
    merged_batch: int = 1
    merge_wait_ms: float = 0.0
    regions: int = 0
    connections: int = 256
    listeners: int = 16
    head_bytes: int = 16 * 1024
    headers: int = 100
    head_s: float = 10.0
    body_s: float = 30.0
    keep_alive_s: int = 30
    linger_s: float = 2.0
    stop_s: int = 10
