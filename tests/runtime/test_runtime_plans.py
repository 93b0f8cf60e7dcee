# SPDX-License-Identifier: Apache-2.0
"""Which levels the runtime runs, and that its answers are those of exactly these levels."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from calibrations import pretend
from fake_machine import RASPBERRY_PI_4, FakeMachine
from model_parts import ModelBuilder, ModelParts, small_model
from reference import evaluate

from aio.governors import Plan, PowerSource
from aio.governors.residual import FASTEST
from aio.runtime import InferenceRecord, InputError, Runtime, _native
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import read_model_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL_KHZ = 1_500_000
SHAPE = (3, 11, 9)
# Levels that a test claims: far slower than they are, so that every inference is early, ...
SLOW_MS = (100.0, 60.0, 20.0)
BETWEEN_MS = 45.0  # a mix of levels 1 and 2
PATIENCE_S = 20.0


def sample(batch: int = 1, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((batch, *SHAPE), dtype=np.float32)


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return small_model()


@pytest.fixture(scope="module")
def path(parts: ModelParts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.write(tmp_path_factory.mktemp("model") / "small.aio")


@pytest.fixture
def slow(path: Path, tmp_path: Path) -> Path:
    """Return a cache that says that the small model is a slow one."""
    return pretend(path, tmp_path / "cache", SLOW_MS, threads=1)


@pytest.fixture(scope="module")
def executor(path: Path) -> _native.Executor:
    """Return an executor of the same model, to be set by hand."""
    return build_executor(read_model_file(path), threads=1, isa=None)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(tmp_path / "root"))
    return FakeMachine(tmp_path / "root", RASPBERRY_PI_4)


def answer_at(
    executor: _native.Executor, plan: Plan, x: NDArray[np.float32]
) -> NDArray[np.float32]:
    executor.set_layer_levels(plan.levels(len(executor.layers())))
    return executor.run(x)[0]


def last(runtime: Runtime) -> InferenceRecord:
    record = runtime.last
    assert record is not None
    return record


def infer_until_clock(runtime: Runtime, x: NDArray[np.float32], khz: int | None) -> InferenceRecord:
    """Infer until a choice is made for a clock, and return the record of that inference."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        runtime.infer(x)
        if last(runtime).cpu_khz == khz:
            return last(runtime)
        assert time.monotonic() < end_s, f"no inference at {khz} kHz"


def test_answers_are_those_of_the_levels_in_the_record(
    path: Path, slow: Path, parts: ModelParts
) -> None:
    for target_ms, level in ((1000.0, 0), (60.0, 1), (20.0, 2), (0.001, 2)):
        options = {"target_ms": target_ms, "cache_dir": slow, "threads": 1, "replan": False}
        with Runtime.load(path, **options) as runtime:  # type: ignore[arg-type]
            x = sample(batch=3)
            outputs, record = runtime.run(x)
        assert (record.plan, record.levels, record.replans) == (Plan.uniform(level), (level,), 0)
        (expected,) = evaluate(parts, [x], level).values()
        assert (np.abs(outputs["head_out"] - expected.exact) <= expected.error).all()


def test_a_mixed_plan_runs_every_layer_at_its_level(
    path: Path, slow: Path, executor: _native.Executor
) -> None:
    with Runtime.load(
        path, target_ms=BETWEEN_MS, cache_dir=slow, threads=1, replan=False
    ) as runtime:
        x = sample(batch=2)
        outputs, record = runtime.run(x)
        assert record.plan.mixed
        assert (record.levels, record.level, record.replans) == ((1, 2), 2, 0)
        assert record.predicted_ms is not None
        assert record.predicted_ms <= 2 * BETWEEN_MS
        assert np.array_equal(outputs["head_out"], answer_at(executor, record.plan, x))
        for level in (0, 1, 2):  # the executor does not stay where the mix left it
            pinned = runtime.infer(x, level=level)
            assert np.array_equal(pinned, answer_at(executor, Plan.uniform(level), x))


def test_an_inference_that_is_early_moves_the_rest_to_denser_levels(path: Path, slow: Path) -> None:
    with Runtime.load(path, target_ms=BETWEEN_MS, cache_dir=slow, threads=1) as runtime:
        _, record = runtime.run(sample())
        assert record.plan.mixed
        assert record.replans >= 1
        assert 0 in record.levels
        assert record.levels == tuple(sorted(set(record.levels)))
        assert runtime.stats().replans == record.replans
        assert record.as_dict()["replans"] == record.replans


def test_a_plan_that_may_not_change_does_not(path: Path, slow: Path) -> None:
    with Runtime.load(
        path, target_ms=BETWEEN_MS, cache_dir=slow, threads=1, replan=False
    ) as runtime:
        runtime.infer(sample())
        runtime.infer(sample(), deadline_ms=BETWEEN_MS)
        assert runtime.stats().replans == 0


def test_a_pinned_level_is_never_re_planned(
    path: Path, slow: Path, executor: _native.Executor
) -> None:
    x = sample()
    with Runtime.load(path, target_ms=BETWEEN_MS, cache_dir=slow, threads=1) as runtime:
        for _ in range(3):
            outputs, record = runtime.run(x, level=2)
            assert (record.plan, record.levels, record.replans) == (Plan.uniform(2), (2,), 0)
            expected = answer_at(executor, Plan.uniform(2), x)
            assert np.array_equal(outputs["head_out"], expected)
    with Runtime.load(path, level=1, target_ms=1e-6, cache_dir=slow, threads=1) as runtime:
        for deadline_ms in (None, 1e-6, 1e6):
            record = runtime.run(x, deadline_ms=deadline_ms).record
            assert (record.levels, record.replans) == ((1,), 0)
        assert runtime.policy == "fixed"


@pytest.mark.parametrize("target_ms", [BETWEEN_MS, 1e-6, math.inf])
def test_no_level_below_the_accuracy_floor_is_ever_run(
    path: Path, slow: Path, target_ms: float
) -> None:
    with Runtime.load(
        path, target_ms=target_ms, min_accuracy=0.75, cache_dir=slow, threads=1
    ) as runtime:
        assert runtime.allowed_levels == (0, 1)
        for deadline_ms in (None, 1e-6, BETWEEN_MS, 5.0, 1e6, None):
            record = runtime.run(sample(batch=4), deadline_ms=deadline_ms).record
            assert set(record.levels) <= {0, 1}
        runtime.set_min_accuracy(0.85)
        for deadline_ms in (None, 1e-6, BETWEEN_MS):
            assert runtime.run(sample(), deadline_ms=deadline_ms).record.levels == (0,)


def large_model(path: Path) -> Path:
    """Write a network of two layers that take longer than a test claims anywhere."""
    builder = ModelBuilder((64, 24, 24), (0.0, 0.3, 0.6, 0.8, 0.95), (0.9, 0.8, 0.7, 0.6, 0.5))
    for name, source in (("c", "x"), ("d", "c"), ("e", "d")):
        builder.conv(name, source, (64, 64, 5, 5), padding=(2, 2, 2, 2))
    return builder.finish(["e"]).write(path)


@pytest.mark.parametrize(("floor", "sparsest"), [(0.0, 4), (0.65, 2)])
def test_an_inference_that_is_late_ends_at_the_sparsest_level_allowed(
    tmp_path: Path, floor: float, sparsest: int
) -> None:
    path = large_model(tmp_path / "large.aio")
    claims_ms = (0.2, 0.19, 0.18, 0.17, 0.16)  # each layer takes longer than that
    cache = pretend(path, tmp_path / "cache", claims_ms, threads=1, isa="scalar")
    with Runtime.load(
        path, target_ms=0.21, min_accuracy=floor, cache_dir=cache, threads=1, isa="scalar"
    ) as runtime:
        record = runtime.run(np.ones((1, 64, 24, 24), np.float32)).record
        assert record.plan == Plan.uniform(0)
        assert record.replans >= 1
        assert record.levels == (0, sparsest)


def test_a_deadline_takes_the_place_of_the_target(path: Path, slow: Path) -> None:
    with Runtime.load(path, target_ms=1000, cache_dir=slow, threads=1, replan=False) as runtime:
        record = runtime.run(sample(), deadline_ms=BETWEEN_MS).record
        assert record.plan.mixed
        assert (record.deadline_ms, record.target_ms) == (BETWEEN_MS, 1000)
        assert record.reason.startswith("budget ")
        assert record.deadline_met is True
        # The rest of the batch shares the budget.
        assert runtime.run(sample(batch=3), deadline_ms=70.0).record.plan == Plan.uniform(2)
        assert runtime.run(sample()).record.plan == Plan.uniform(0)
        assert runtime.stats().deadlines == 2


def test_what_was_measured_is_learned(path: Path, slow: Path) -> None:
    with Runtime.load(path, target_ms=BETWEEN_MS, cache_dir=slow, threads=1) as runtime:
        assert runtime.stats().residual == 1.0
        assert runtime.stats().prediction_error is None
        for _ in range(20):
            runtime.infer(sample())
        stats = runtime.stats()
        assert stats.prediction_error is not None
        # Those in which the clock seems to have moved are left out.
        assert 10 <= stats.prediction_error.count <= 20
        # Calibration and clock are believed up to a bound; what is faster still goes to the layers
        # to come.
        assert last(runtime).slowdown == pytest.approx(math.exp(FASTEST))
        assert last(runtime).replans >= 1
        assert 0 in last(runtime).levels
        assert stats.plan_changes == len(stats.decisions) >= 2
        assert "of predicted" in stats.decisions[-1].reason
        assert json.dumps(stats.as_dict(), allow_nan=False)
        predicted = [level.predicted_ms for level in runtime.levels]
        assert predicted == pytest.approx([stats.residual * ms for ms in SLOW_MS])


def test_changes_of_plan_are_logged_with_their_reason(
    path: Path, slow: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO),
        Runtime.load(path, target_ms=1000, cache_dir=slow, threads=1) as runtime,
    ):
        runtime.infer(sample())
        reason = last(runtime).reason
        runtime.target_ms = 0.001
        runtime.infer(sample())
    assert reason in caplog.messages
    assert last(runtime).reason in caplog.messages


def test_the_fixed_policy_by_name_stays_at_the_densest_level_allowed(
    path: Path, slow: Path
) -> None:
    with Runtime.load(path, policy="fixed", target_ms=0.001, cache_dir=slow, threads=1) as runtime:
        assert (runtime.policy, runtime.allowed_levels) == ("fixed", (0,))
        record = runtime.run(sample()).record
        assert (record.levels, record.replans) == ((0,), 0)


@pytest.mark.parametrize("policy", ["", "Adaptive", "table "])
def test_an_unknown_policy_is_refused_with_the_names_there_are(path: Path, policy: str) -> None:
    with pytest.raises(
        InputError, match=f"policy='{policy}': expected one of adaptive, table, fixed"
    ):
        Runtime.load(path, policy=policy)


def test_the_table_follows_the_clock_by_whole_levels(machine: FakeMachine, tmp_path: Path) -> None:
    path = large_model(tmp_path / "large.aio")
    x = np.ones((1, 64, 24, 24), np.float32)
    with Runtime.load(path, threads=1, policy="table") as runtime:
        assert (runtime.policy, runtime.clock.driver) == ("table", "cpufreq")
        runtime.target_ms = 1.2 * (runtime.levels[0].predicted_ms or 0.0)
        assert infer_until_clock(runtime, x, FULL_KHZ).plan == Plan.uniform(0)
        sparsest = 0
        for khz in (1_200_000, 900_000, 600_000, 300_000):
            machine.set_khz(khz)
            record = infer_until_clock(runtime, x, khz)
            assert not record.plan.mixed
            assert record.replans == 0
            assert record.level >= sparsest
            sparsest = record.level
        assert sparsest >= 2
        assert f"{khz // 1000} MHz" in last(runtime).reason
        machine.set_khz(FULL_KHZ)
        infer_until_clock(runtime, x, FULL_KHZ)
        end_s = time.monotonic() + PATIENCE_S
        while last(runtime).level > 0 and time.monotonic() < end_s:
            runtime.infer(x)  # a denser level waits for the dwell
        decisions = runtime.stats().decisions
        assert [decisions[0].level, decisions[-1].level] == [0, 0]
        assert any("-> 1500 MHz" in decision.reason for decision in decisions)


def test_the_adaptive_policy_follows_the_clock(machine: FakeMachine, tmp_path: Path) -> None:
    path = large_model(tmp_path / "large.aio")
    x = np.ones((1, 64, 24, 24), np.float32)
    with Runtime.load(path, threads=1) as runtime:
        assert runtime.policy == "adaptive"
        runtime.infer(x)
        machine.set_khz(600_000)
        record = infer_until_clock(runtime, x, 600_000)
        assert record.level > 0
        assert record.predicted_ms is not None
        assert "1500 -> 600 MHz" in record.reason


def test_predictions_scale_with_the_clock(machine: FakeMachine, path: Path) -> None:
    with Runtime.load(path, threads=1) as runtime:
        full = [level.predicted_ms or 0.0 for level in runtime.levels]
        machine.set_khz(FULL_KHZ // 2)
        infer_until_clock(runtime, sample(), FULL_KHZ // 2)
        residual = runtime.stats().residual
        assert [level.predicted_ms for level in runtime.levels] == pytest.approx(
            [2 * residual * ms for ms in full]
        )


def test_a_clock_that_vanishes(machine: FakeMachine, path: Path) -> None:
    with Runtime.load(path, threads=1) as runtime:
        machine.remove_policy(0)
        record = infer_until_clock(runtime, sample(), None)
        assert "clock unknown" in record.reason
        assert all(level.predicted_ms for level in runtime.levels)


def set_source(machine: FakeMachine, *, online: bool) -> None:
    machine.write("sys/class/power_supply/ac/type", "Mains\n")
    machine.write("sys/class/power_supply/ac/online", f"{int(online)}\n")
    machine.write("sys/class/power_supply/battery/type", "Battery\n")
    machine.write(
        "sys/class/power_supply/battery/status", "Charging\n" if online else "Discharging\n"
    )


def test_on_battery_the_target_for_battery_holds(machine: FakeMachine, path: Path) -> None:
    set_source(machine, online=False)
    with Runtime.load(path, target_ms=1e6, battery_target_ms=1e-6, threads=1) as runtime:
        record = runtime.run(sample()).record
        assert record.sample.power is not None
        assert record.sample.power.source is PowerSource.BATTERY
        assert (record.target_ms, record.plan) == (1e-6, Plan.uniform(2))
        assert runtime.target_ms == runtime.battery_target_ms == 1e-6
        runtime.battery_target_ms = None
        assert runtime.run(sample()).record.target_ms == runtime.target_ms == 1e6
        runtime.battery_target_ms = 2e-6
        assert runtime.run(sample()).record.target_ms == 2e-6
        with pytest.raises(InputError, match="battery_target_ms=-1"):
            runtime.battery_target_ms = -1
        set_source(machine, online=True)
        end_s = time.monotonic() + PATIENCE_S
        while runtime.run(sample()).record.target_ms != 1e6:
            assert time.monotonic() < end_s, "the power source was not noticed"


@pytest.mark.parametrize("battery_target_ms", [0, -1, math.nan, "soon"])
def test_targets_for_battery_that_are_none(path: Path, battery_target_ms: float) -> None:
    with pytest.raises(InputError, match="battery_target_ms="):
        Runtime.load(path, battery_target_ms=battery_target_ms)


def test_a_target_for_battery_needs_a_calibration(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"battery_target_ms=5: a target needs a calibration"):
        Runtime.load(path, calibrate=False, cache_dir=tmp_path, battery_target_ms=5)


def test_a_floor_above_the_fixed_level_is_refused_and_changes_nothing(path: Path) -> None:
    with Runtime.load(path, level=1) as runtime:
        runtime.set_min_accuracy(0.8)
        with pytest.raises(InputError, match=r"loaded with level=1, whose accuracy is 0\.8"):
            runtime.set_min_accuracy(0.85)
        assert (runtime.allowed_levels, runtime.min_accuracy) == ((1,), 0.8)
        runtime.set_min_accuracy(None)
        assert (runtime.allowed_levels, runtime.min_accuracy) == ((1,), None)
        assert runtime.run(sample()).record.levels == (1,)


def test_many_threads_and_moving_targets_never_mix_answers(
    path: Path, slow: Path, executor: _native.Executor
) -> None:
    x = [sample(batch=2, seed=seed) for seed in range(4)]
    found: list[tuple[int, Plan, NDArray[np.float32]]] = []
    done = threading.Event()

    with Runtime.load(
        path, target_ms=BETWEEN_MS, cache_dir=slow, threads=2, replan=False
    ) as runtime:

        def infer(client: int) -> None:
            for turn in range(60):
                deadline_ms = (None, 50.0, 1.0)[turn % 3]
                outputs, record = runtime.run(x[client], deadline_ms=deadline_ms)
                found.append((client, record.plan, outputs["head_out"]))

        def move() -> None:
            while not done.is_set():
                for target_ms in (0.001, 0.1, BETWEEN_MS, 1000.0):
                    runtime.target_ms = target_ms
                    runtime.battery_target_ms = target_ms
                    runtime.set_min_accuracy(0.7)
                    assert json.dumps(runtime.stats().as_dict())
                    assert runtime.levels

        clients = [threading.Thread(target=infer, args=(client,)) for client in range(4)]
        mover = threading.Thread(target=move)
        for thread in (*clients, mover):
            thread.start()
        for thread in clients:
            thread.join()
        done.set()
        mover.join()
        assert runtime.stats().inferences == len(found) == 4 * 60
    for client, plan, answer in found:
        assert np.array_equal(answer, answer_at(executor, plan, x[client]))
