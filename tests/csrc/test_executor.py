# SPDX-License-Identifier: Apache-2.0
"""The executor's contract towards Python: levels, layers, threads, the GIL, refusals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_network import LEVELS, image, network

if TYPE_CHECKING:
    from aio.runtime import _native


def test_layers_are_fused() -> None:
    layers = network().layers()
    assert [layer["name"] for layer in layers] == ["conv1", "conv2", "pool", "gap", "fc"]
    assert [layer["sparse"] for layer in layers] == [True, True, False, False, True]
    assert layers[1]["output_shape"] == (32, 16, 16)
    assert layers[4]["output_shape"] == (10,)


def test_a_batch_is_its_samples() -> None:
    executor, x = network(threads=2), image(batch=5)
    logits, features = executor.run(x)
    assert logits.shape == (5, 10)
    assert features.shape == (5, 32, 16, 16)
    for n in range(5):
        one = executor.run(x[n : n + 1])
        assert np.array_equal(one[0][0], logits[n])
        assert np.array_equal(one[1][0], features[n])


def test_an_empty_batch_gives_empty_outputs() -> None:
    logits, features = network().run(image(batch=0))
    assert logits.shape == (0, 10)
    assert features.shape == (0, 32, 16, 16)


def test_layer_levels_mix() -> None:
    executor, x = network(), image()
    uniform = []
    for level in range(LEVELS):
        executor.set_level(level)
        uniform.append(executor.run(x)[0])
    assert not np.array_equal(uniform[0], uniform[2])
    executor.set_layer_levels([0, 2, 0, 0, 2])
    mixed = executor.run(x)[0]
    assert not any(np.array_equal(mixed, y) for y in uniform)
    executor.set_layer_levels([1] * 5)
    assert np.array_equal(executor.run(x)[0], uniform[1])


def test_profile_has_a_time_per_layer() -> None:
    executor = network()
    executor.run(image())
    assert executor.layer_ns() == [0] * 5
    executor.set_profiling(True)
    executor.run(image())
    assert all(ns > 0 for ns in executor.layer_ns())


def test_weights_are_stored_once_for_all_levels() -> None:
    executor = network()
    kept = sum(layer["nonzero_weights"][0] for layer in executor.layers())
    assert executor.weight_bytes < 1.3 * 4 * kept
    assert executor.arena_bytes > 0


def test_the_gil_is_released_while_it_runs() -> None:
    executor, x = network(size=256), image(size=256, batch=8)
    counts = [0]
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            counts[0] += 1

    counter = threading.Thread(target=count)
    counter.start()
    try:
        before = counts[0]
        executor.run(x)
        during = counts[0] - before
    finally:
        done.set()
        counter.join()
    # With the GIL held the counter could not have moved at all.
    assert during > 100


def test_concurrent_runs_do_not_mix() -> None:
    executor = network(threads=2)
    inputs = [np.full((1, 3, 16, 16), k, np.float32) for k in range(4)]
    expected = [executor.run(x)[0] for x in inputs]
    wrong: list[int] = []

    def work(k: int) -> None:
        results = [executor.run(inputs[k])[0] for _ in range(100)]
        wrong.extend(k for y in results if not np.array_equal(y, expected[k]))

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.set_level(3), "level 3 does not exist; the model has levels 0 to 2"),
        (lambda e: e.set_level(-1), "level -1 does not exist"),
        (lambda e: e.set_layer_levels([0]), "got 1 levels for 5 layers"),
        (lambda e: e.run(np.zeros((1, 3, 16, 15), np.float32)), r"expected \(N, 3, 16, 16\)"),
        (lambda e: e.run(np.zeros((3, 16, 16), np.float32)), r"shape \(3, 16, 16\)"),
    ],
)
def test_bad_calls_are_refused(call: Callable[[_native.Executor], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(network())


@pytest.mark.parametrize("threads", [0, -1, 5000])
def test_bad_thread_counts_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match="threads="):
        network(threads=threads)
