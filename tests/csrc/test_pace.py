# SPDX-License-Identifier: Apache-2.0
"""Paced runs: bits of the levels they ran at, what they report, and what they refuse."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_network import LEVELS, image, network, weights

from aio.runtime import _native

Floats = NDArray[np.float32]
every_isa = pytest.mark.parametrize("isa", _native.supported_isas())
LAYERS = 5
WIDTH = 384
ALL = list(range(LEVELS))
# So much that every step is a reason to look at the clock, which then says that no time went by.
COST_NS = 1e9
NO_TIME, FOREVER = 0.0, 1e15


def costs(layers: int = LAYERS, cost_ns: float = COST_NS) -> NDArray[np.float64]:
    return np.array([[cost_ns / (1 + level)] * layers for level in ALL])


def parts(executor: _native.Executor) -> list[int]:
    return [layer["parts"] for layer in executor.layers()]


def wide(isa: str) -> _native.Executor:
    """Return one convolution, 5x5 as that has no Winograd transform, wide enough for parts."""
    rng = np.random.default_rng(0)
    graph = _native.Graph(LEVELS)
    x = graph.input("x", 3, 16, 16)
    graph.output(graph.conv2d("c", x, **weights(rng, WIDTH, 3, 5, 5), padding=(2, 2, 2, 2)))
    return _native.Executor(graph, isa=isa)


def same(found: Sequence[Floats], expected: Sequence[Floats]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@every_isa
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("replan", "batch"), [(False, 3), (True, 1)])
@pytest.mark.parametrize("levels", [[0] * 5, [2] * 5, [2, 2, 1, 1, 1], [0, 2, 0, 1, 2]])
def test_a_plan_that_holds_gives_the_bits_of_a_run_at_its_levels(
    isa: str, threads: int, replan: bool, batch: int, levels: list[int]
) -> None:
    executor, x = network(threads=threads, isa=isa), image(batch=batch)
    executor.set_layer_levels(levels)
    expected = executor.run(x)
    # Costs so low that the clock is never looked at in the first sample.
    executor.set_pace(costs(cost_ns=1.0), ALL)
    outputs, elapsed_ns, expected_ns, replans = executor.run_paced(x, budget_ns=1e9, replan=replan)
    assert same(outputs, expected)
    assert replans == 0
    assert executor.paced_levels() == [
        level for level, count in zip(levels, parts(executor), strict=True) for _ in range(count)
    ]
    assert elapsed_ns > 0
    assert expected_ns == pytest.approx(batch * sum(1.0 / (1 + level) for level in levels))
    assert same(executor.run(x), expected)


@every_isa
@pytest.mark.parametrize("allowed", [[0, 1, 2], [1], [0, 1]])
@pytest.mark.parametrize("budget_ns", [NO_TIME, FOREVER])
def test_re_planned_layers_give_the_bits_of_the_levels_they_ran_at(
    isa: str, allowed: list[int], budget_ns: float
) -> None:
    executor, x = network(isa=isa), image()
    assert parts(executor) == [1] * LAYERS
    executor.set_level(1)
    executor.set_pace(costs(), allowed)
    outputs, _, expected_ns, replans = executor.run_paced(x, budget_ns=budget_ns)
    levels = executor.paced_levels()
    end = max(allowed) if budget_ns == NO_TIME else min(allowed)
    assert levels == [1] + [end] * (LAYERS - 1)
    assert replans == (end != 1)
    assert expected_ns == pytest.approx(sum(COST_NS / (1 + level) for level in levels))
    executor.set_layer_levels(levels)
    assert same(outputs, executor.run(x))


@every_isa
def test_parts_of_a_layer_give_the_bits_of_the_levels_they_ran_at(isa: str) -> None:
    executor, x = wide(isa), image()
    uniform = []
    for level in ALL:
        executor.set_level(level)
        uniform.append(executor.run(x)[0])
    (count,) = parts(executor)
    assert count == 3
    executor.set_level(1)
    executor.set_pace(costs(layers=1), ALL)
    for budget_ns, end in ((NO_TIME, 2), (FOREVER, 0)):
        (found,), _, expected_ns, replans = executor.run_paced(x, budget_ns=budget_ns)
        levels = executor.paced_levels()
        assert levels == [1] + [end] * (count - 1)
        assert replans == 1
        assert expected_ns == pytest.approx(sum(COST_NS / (1 + v) / count for v in levels))
        blocks = WIDTH // 16
        for part, level in enumerate(levels):
            rows = slice(16 * (blocks * part // count), 16 * (blocks * (part + 1) // count))
            assert np.array_equal(found[:, rows], uniform[level][:, rows])


def test_a_planned_level_that_is_not_allowed_runs_but_is_never_moved_to() -> None:
    executor, x = network(), image()
    executor.set_level(2)
    executor.set_pace(costs(), [0, 1])
    executor.run_paced(x, budget_ns=NO_TIME)
    assert executor.paced_levels() == [2] + [1] * (LAYERS - 1)
    executor.run_paced(x, budget_ns=NO_TIME, replan=False)
    assert executor.paced_levels() == [2] * LAYERS


def test_samples_of_a_batch_begin_with_the_plan_and_counts_add_up() -> None:
    executor, x = network(), image(batch=4)
    executor.set_level(0)
    executor.set_pace(costs(), ALL)
    outputs, _, expected_ns, replans = executor.run_paced(x, budget_ns=NO_TIME)
    assert replans == 4
    levels = [0] + [2] * (LAYERS - 1)
    assert expected_ns == pytest.approx(4 * sum(COST_NS / (1 + level) for level in levels))
    executor.set_layer_levels(levels)
    assert same(outputs, executor.run(x))


def test_an_empty_batch() -> None:
    executor = network()
    executor.set_pace(costs(), ALL)
    outputs, _, expected_ns, replans = executor.run_paced(image(batch=0), budget_ns=1e6)
    assert [output.shape for output in outputs] == [(0, 10), (0, 32, 16, 16)]
    assert (expected_ns, replans) == (0.0, 0)


def test_no_budget_at_all_and_none_to_keep() -> None:
    executor, x = network(), image(batch=2)
    executor.set_level(1)
    expected = executor.run(x)
    executor.set_pace(costs(), [1])
    for budget_ns in (NO_TIME, math.inf):
        outputs, _, _, replans = executor.run_paced(x, budget_ns=budget_ns, slowdown=1e-3)
        assert same(outputs, expected)
        assert replans == 0


def test_the_level_can_change_between_paced_runs() -> None:
    executor, x = network(), image()
    executor.set_pace(costs(cost_ns=1.0), ALL)
    for level in (0, 2, 1):
        executor.set_level(level)
        expected = executor.run(x)
        assert same(executor.run_paced(x, budget_ns=1e9)[0], expected)


def set_costs(value: float) -> Callable[[_native.Executor], object]:
    table = costs()
    table[1, 3] = value
    return lambda executor: executor.set_pace(table, ALL)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.set_pace(costs(layers=4), ALL), "got 12 costs, expected 15"),
        (lambda e: e.set_pace(costs()[:2], ALL), "got 10 costs, expected 15"),
        (lambda e: e.set_pace(costs().ravel(), ALL), "expected an array of levels x layers"),
        (lambda e: e.set_pace(np.array(1.0), ALL), "expected an array of levels x layers"),
        (lambda e: e.set_pace(costs()[None], ALL), "expected an array of levels x layers"),
        (lambda e: e.set_pace(costs(), []), "allowed levels must be some of 0 to 2"),
        (lambda e: e.set_pace(costs(), [3]), "allowed levels must be some of 0 to 2"),
        (lambda e: e.set_pace(costs(), [-1, 0]), "allowed levels must be some of 0 to 2"),
        (set_costs(-1.0), "a layer's cost is -1"),
        (set_costs(math.nan), "a layer's cost is nan"),
        (set_costs(math.inf), "a layer's cost is inf"),
        (lambda e: e.run_paced(image(), budget_ns=-1.0), "a budget of -1"),
        (lambda e: e.run_paced(image(), budget_ns=math.nan), "a budget of nan"),
        (lambda e: e.run_paced(image(), budget_ns=1.0, slowdown=0.0), "a slowdown of 0"),
        (lambda e: e.run_paced(image(), budget_ns=1.0, slowdown=-1.0), "a slowdown of -1"),
        (lambda e: e.run_paced(image(), budget_ns=1.0, slowdown=math.nan), "slowdown of nan"),
        (lambda e: e.run_paced(image(), budget_ns=1.0, slowdown=math.inf), "slowdown of inf"),
        (lambda e: e.run_paced(image(size=15), budget_ns=1.0), r"expected \(N, 3, 16, 16\)"),
    ],
)
def test_hostile_arguments_are_refused_and_change_nothing(
    call: Callable[[_native.Executor], object], message: str
) -> None:
    executor, x = network(), image()
    executor.set_level(1)
    expected = executor.run(x)
    executor.set_pace(costs(), [1])
    with pytest.raises(ValueError, match=message):
        call(executor)
    outputs, _, _, replans = executor.run_paced(x, budget_ns=NO_TIME)
    assert same(outputs, expected)
    assert replans == 0


def test_a_paced_run_needs_a_pace() -> None:
    executor = network()
    assert executor.paced_levels() == []
    with pytest.raises(ValueError, match="needs set_pace first"):
        executor.run_paced(image(), budget_ns=1e9)
    assert executor.run(image())[0].shape == (1, 10)


@pytest.mark.parametrize("extreme", [0.0, 5e-324, 1e308])
def test_extreme_costs_are_survived(extreme: float) -> None:
    executor, x = network(), image(batch=2)
    table = costs()
    table[:, ::2] = extreme
    executor.set_pace(table, [0, 2])
    for budget_ns in (NO_TIME, 1.0, 1e9, math.inf):
        for slowdown in (1e-300, 1.0, 1e300):
            outputs, _, _, _ = executor.run_paced(x, budget_ns=budget_ns, slowdown=slowdown)
            assert set(executor.paced_levels()) <= {0, 2}
            assert np.isfinite(outputs[0]).all()


def test_threads_that_pace_and_set_levels_do_not_mix_runs() -> None:
    executor, x = network(threads=2), image()
    uniform = []
    for level in ALL:
        executor.set_level(level)
        uniform.append(executor.run(x)[0])
    executor.set_pace(costs(), ALL)
    wrong: list[Floats] = []
    done = threading.Event()

    def run() -> None:
        for _ in range(100):
            outputs, _, _, _ = executor.run_paced(x, budget_ns=1e9, replan=False)
            if not any(np.array_equal(outputs[0], y) for y in uniform):
                wrong.append(outputs[0])

    def move() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            executor.set_level(turn % LEVELS)
            executor.set_layer_levels([turn % LEVELS] * LAYERS)
            executor.set_pace(costs(), [turn % LEVELS])

    runners = [threading.Thread(target=run) for _ in range(3)]
    mover = threading.Thread(target=move)
    for thread in (*runners, mover):
        thread.start()
    for thread in runners:
        thread.join()
    done.set()
    mover.join()
    assert not wrong


def simulate(pace: _native.Pace, steps: int, speed: float, table: NDArray[np.float64]) -> float:
    """Run the steps of an inference `speed` times as fast as the table says; return the time."""
    now_ns = 0.0
    for step in range(steps):
        now_ns += float(table[pace.next(now_ns), step]) / speed
    return now_ns


def test_a_simulated_inference_holds_its_budget() -> None:
    table = np.repeat([[1e6], [0.5e6], [0.2e6]], 20, axis=1)
    pace = _native.Pace(table, ALL)
    pace.begin([0] * 20, budget_ns=20e6)
    assert simulate(pace, 20, 1.0, table) == 20e6
    assert (pace.replans, pace.levels, pace.expected_ns) == (0, [0] * 20, 20e6)
    pace.begin([0] * 20, budget_ns=20e6)
    assert simulate(pace, 20, 0.5, table) < 21e6
    assert pace.replans > 0
    assert pace.levels[0] == 0
    assert max(pace.levels) > 0


def test_a_simulated_pace_refuses_what_it_can_not_run() -> None:
    pace = _native.Pace(costs(2), ALL)
    with pytest.raises(ValueError, match="got 3 levels for 2 layers"):
        pace.begin([0, 0, 0], budget_ns=1.0)
    with pytest.raises(ValueError, match="level 3 does not exist"):
        pace.begin([0, 3], budget_ns=1.0)
    with pytest.raises(ValueError, match="level -1 does not exist"):
        pace.begin([-1, 0], budget_ns=1.0)
    with pytest.raises(ValueError, match="a budget of -1"):
        pace.begin([0, 0], budget_ns=-1.0)
    with pytest.raises(ValueError, match="expected an array of levels x layers"):
        _native.Pace(np.zeros(3), [0])
    with pytest.raises(ValueError, match="allowed levels"):
        _native.Pace(costs(), [7])
    with pytest.raises(ValueError, match="0 levels"):
        _native.Pace(np.zeros((0, 3)), [0])
    pace.begin([0, 0], budget_ns=1.0)
    pace.next(0.0)
    pace.next(0.0)
    with pytest.raises(ValueError, match="every layer of the inference has run"):
        pace.next(0.0)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=8, max_size=8),
    st.sampled_from([[0], [1], [0, 2], [0, 1, 2], [2, 2, 0]]),
    st.sampled_from([0.0, 1.0, 4e9, math.inf]),
    st.floats(1e-6, 1e6),
)
def test_whatever_time_is_told_only_allowed_levels_are_moved_to(
    times_ns: list[float], allowed: list[int], budget_ns: float, slowdown: float
) -> None:
    pace = _native.Pace(costs(8), allowed)
    pace.begin([1] * 8, budget_ns=budget_ns, slowdown=slowdown)
    levels = [pace.next(time_ns) for time_ns in times_ns]
    assert set(levels) <= {1, *allowed}
    assert levels == pace.levels
    assert 0 <= pace.replans < 8
    assert pace.expected_ns == pytest.approx(sum(COST_NS / (1 + level) for level in levels))
