# SPDX-License-Identifier: Apache-2.0
"""The ring of recent inferences: bounded, in order, and safe to read while it is written."""

import math
import threading

from fake_engine import record

from aio.runtime.serve.telemetry.recent import Recent


def test_points_come_in_order_and_once() -> None:
    recent = Recent()
    recent.add(record(1, 0.5), queue_ms=0.25)
    points, number = recent.since(0)
    (point,) = points
    assert number == 1
    assert (point.level, point.ratio, point.queue_ms, point.target_ms) == (1, 0.5, 0.25, 1.0)
    assert (point.latency_ms, point.cpu_khz, point.reason) == (0.5, 1_510_000, "fits the target")
    assert recent.since(number) == ([], 1)
    recent.add(record(2, 0.9), queue_ms=0.0)
    points, number = recent.since(number)
    assert ([point.level for point in points], number) == ([2], 2)


def test_the_ring_keeps_the_newest() -> None:
    recent = Recent(size=3)
    for level in range(5):
        recent.add(record(level), queue_ms=0.0)
    points, number = recent.since(0)
    assert [point.level for point in points] == [2, 3, 4]
    assert number == recent.added == 5


def test_the_latency_is_that_of_one_sample_and_no_target_is_none() -> None:
    recent = Recent()
    recent.add(record()._replace(batch=4, latency_ms=2.0, target_ms=math.inf), queue_ms=0.0)
    recent.add(record()._replace(batch=0, latency_ms=2.0), queue_ms=0.0)
    points, _ = recent.since(0)
    assert [(point.latency_ms, point.target_ms) for point in points] == [(0.5, None), (2.0, 1.0)]


def test_reading_while_a_thread_adds_misses_nothing() -> None:
    recent, total = Recent(size=100_000), 20_000
    one = record()

    def add() -> None:
        for number in range(total):
            recent.add(one, queue_ms=float(number))

    thread = threading.Thread(target=add)
    thread.start()
    read: list[float] = []
    number = 0
    while number < total:
        points, number = recent.since(number)
        read += [point.queue_ms for point in points]
    thread.join()
    assert read == [float(value) for value in range(total)]
