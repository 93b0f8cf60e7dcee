# SPDX-License-Identifier: Apache-2.0
"""The runtime as a user sees it: arguments, answers, records, threads, closing.

Which levels it chooses is tested in test_runtime_plans.py.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from model_parts import ModelBuilder, ModelParts, later_model, small_model
from reference import evaluate

from aio.governors import Plan
from aio.runtime import ClosedError, InputError, ModelFileError, Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (3, 11, 9)


def sample(batch: int = 1, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((batch, *SHAPE), dtype=np.float32)


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return small_model()


@pytest.fixture(scope="module")
def path(parts: ModelParts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.write(tmp_path_factory.mktemp("model") / "small.aio")


@pytest.fixture
def runtime(path: Path) -> Iterator[Runtime]:
    with Runtime.load(path) as loaded:
        yield loaded


def test_layer_times_are_told_and_change_nothing(runtime: Runtime, parts: ModelParts) -> None:
    x = sample()
    before = runtime.infer(x, level=2)
    stats = runtime.stats()
    for plan in (None, Plan.uniform(0), Plan(2, 0, 1)):
        times_ms = runtime.layer_times_ms(x, plan)
        assert len(times_ms) == len(runtime.layers)
        assert all(ms > 0 for ms in times_ms)
        np.testing.assert_array_equal(runtime.infer(x, level=2), before)
    assert runtime.stats().inferences == stats.inferences + 3
    with pytest.raises(InputError):
        runtime.layer_times_ms(np.zeros(3, np.float32))
    runtime.close()
    with pytest.raises(ClosedError):
        runtime.layer_times_ms(x)


def test_answers_equal_the_reference_at_every_level(runtime: Runtime, parts: ModelParts) -> None:
    x = sample(batch=4)
    for level in runtime.levels:
        (expected,) = evaluate(parts, [x], level.index).values()
        answer = runtime.infer(x, level=level.index)
        assert (np.abs(answer - expected.exact) <= expected.error).all()


def test_a_sample_without_batch_axis(runtime: Runtime) -> None:
    x = sample()
    answer = runtime.infer(x[0], level=0)
    assert answer.shape == (10,)
    assert (answer == runtime.infer(x, level=0)[0]).all()


def test_an_empty_batch(runtime: Runtime) -> None:
    outputs, record = runtime.run(np.zeros((0, *SHAPE)))
    assert outputs["head_out"].shape == (0, 10)
    assert (record.batch, record.predicted_ms) == (0, 0.0)
    assert runtime.last is None
    assert runtime.stats().inferences == 0


def test_nan_goes_through(runtime: Runtime) -> None:
    x = sample()
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(runtime.infer(x, level=0)).any()


def test_inputs_are_not_changed(runtime: Runtime) -> None:
    x = sample()
    copy = x.copy()
    x.flags.writeable = False
    runtime.infer(x)
    assert (x == copy).all()


def test_answers_belong_to_the_caller(runtime: Runtime) -> None:
    first = runtime.infer(sample(seed=1))
    copy = first.copy()
    runtime.infer(sample(seed=2))
    assert (first == copy).all()
    first[:] = 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 3}, "level=3: the model has levels 0 to 2"),
        ({"level": 0.5}, "level=0.5: expected an integer"),
        ({"deadline_ms": 0}, "deadline_ms=0.0: expected more than 0 ms"),
        ({"deadline_ms": "now"}, "deadline_ms='now': expected a number"),
    ],
)
def test_wrong_arguments_of_infer(
    runtime: Runtime, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        runtime.infer(sample(), **arguments)
    assert str(caught.value).startswith(message)
    with pytest.raises(InputError, match="expected \\(N, 3, 11, 9\\)"):
        runtime.infer(np.zeros((1, 3, 9, 11)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_ms": 0}, "target_ms=0.0: expected more than 0 ms"),
        ({"target_ms": float("nan")}, "target_ms=nan: expected more than 0 ms"),
        ({"threads": 0}, "threads=0: expected 1 to 1024"),
        ({"threads": 1.5}, "threads=1.5: expected an integer"),
        ({"min_accuracy": 0.95}, "min_accuracy=0.95: the best level has 0.9"),
        ({"level": 3}, "level=3: the model has levels 0 to 2"),
        ({"level": 2, "min_accuracy": 0.75}, "level=2: its accuracy 0.7 is below min_accuracy"),
    ],
)
def test_wrong_options_of_load(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Runtime.load(path, **options)
    assert str(caught.value).startswith(message)


def test_wrong_isa_and_file(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="altivec"):
        Runtime.load(path, isa="altivec")
    with pytest.raises(ModelFileError, match="No such file"):
        Runtime.load(tmp_path / "missing.aio")


def test_wrong_sensor_root(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIO_SYSFS_ROOT", "/does/not/exist")
    with pytest.raises(InputError, match="AIO_SYSFS_ROOT"):
        Runtime.load(path)
    with pytest.raises(InputError, match="AIO_SYSFS_ROOT"):
        Runtime.load(path, threads=1)


def test_what_the_model_is(runtime: Runtime) -> None:
    assert runtime.name == runtime.manifest.name == "small"
    assert [(info.name, info.shape) for info in runtime.inputs] == [("x", SHAPE)]
    assert [(info.name, info.shape) for info in runtime.outputs] == [("head_out", (10,))]
    assert runtime.outputs[0].labels == tuple("0123456789")
    levels = runtime.levels
    assert [level.index for level in levels] == [0, 1, 2]
    assert [level.ratio for level in levels] == [0.0, 0.5, 0.8]
    assert [level.accuracy for level in levels] == [0.9, 0.8, 0.7]
    assert levels[0].macs > levels[1].macs > levels[2].macs > 0
    assert levels[0].nonzero_weights > levels[2].nonzero_weights > 0
    assert all(level.predicted_ms is not None and level.predicted_ms > 0 for level in levels)
    assert runtime.threads >= 1
    assert runtime.threads_reason
    assert runtime.isa
    assert runtime.sensors


def test_what_happened_last(runtime: Runtime) -> None:
    assert runtime.last is None
    begin_s = time.monotonic()
    runtime.infer(sample(batch=2), level=1)
    outside_ms = (time.monotonic() - begin_s) * 1e3
    last = runtime.last
    assert last is not None
    assert (last.plan, last.levels, last.replans) == (Plan.uniform(1), (1,), 0)
    assert (last.level, last.ratio, last.batch) == (1, 0.5, 2)
    assert last.slowdown > 0
    assert 0 <= last.wait_ms < last.latency_ms <= outside_ms
    assert last.predicted_ms is not None
    assert last.predicted_ms > 0
    assert 0 < last.target_ms <= runtime.target_ms
    assert last.deadline_ms is None
    assert last.reason == "level given by the caller"
    assert last.cpu_khz == last.clock.cpu_khz == last.sample.clock.cpu_khz
    assert runtime.device.clock.driver == last.sample.clock.driver


def test_run_returns_every_output_and_its_own_record(tmp_path: Path) -> None:
    builder = ModelBuilder((2, 4, 4), (0.0,))
    builder.conv("c", "x", (5, 2, 3, 3), sparse=False)
    builder.node("g", "global_avg_pool2d", ["c"])
    parts = builder.finish(["c", "g"])
    with Runtime.load(parts.write(tmp_path / "two.aio")) as runtime:
        x = np.ones((3, 2, 4, 4), np.float32)
        outputs, record = runtime.run(x, level=0)
        assert record == runtime.last
        for name, expected in evaluate(parts, [x], 0).items():
            assert (np.abs(outputs[name] - expected.exact) <= expected.error).all()
        assert runtime.run(x[0]).outputs["c_out"].shape == (5, 2, 2)
        with pytest.raises(InputError, match=r"several outputs \(c_out, g_out\): use run"):
            runtime.infer(x)


def test_deadlines(runtime: Runtime) -> None:
    runtime.infer(sample(), deadline_ms=60_000)
    assert runtime.last is not None
    assert (runtime.last.level, runtime.last.deadline_met) == (0, True)
    runtime.infer(sample(), deadline_ms=1e-6)
    assert (runtime.last.level, runtime.last.deadline_met) == (2, False)
    stats = runtime.stats()
    assert (stats.deadlines, stats.deadlines_missed) == (2, 1)


def test_a_budget_decides_the_level_and_is_no_deadline(runtime: Runtime) -> None:
    before = runtime.stats()
    assert runtime.run(sample(), budget_ms=60_000).record.level == 0
    tight = runtime.run(sample(), budget_ms=1e-6).record
    assert (tight.level, tight.deadline_ms, tight.deadline_met) == (2, None, None)
    both = runtime.run(sample(), deadline_ms=60_000, budget_ms=1e-6).record
    assert (both.level, both.deadline_met) == (2, True)
    assert runtime.stats().deadlines == before.deadlines + 1
    with pytest.raises(InputError, match=r"budget_ms=0\.0: expected more than 0 ms"):
        runtime.run(sample(), budget_ms=0)


def test_predictions_of_calls(runtime: Runtime) -> None:
    runtime.infer(sample())
    one, ten = runtime.predict_ms(1, 0), runtime.predict_ms(10, 0)
    sparsest = runtime.predict_ms()
    assert one is not None
    assert ten is not None
    assert sparsest is not None
    assert 0.0 < sparsest < one < ten
    assert runtime.predict_ms(level=2) == pytest.approx(sparsest, rel=0.5)
    with pytest.raises(InputError, match="level"):
        runtime.predict_ms(level=3)


def test_a_deadline_is_for_the_whole_batch(runtime: Runtime) -> None:
    predicted = runtime.levels[0].predicted_ms
    assert predicted is not None
    runtime.infer(sample(batch=64), deadline_ms=predicted * 3)
    assert runtime.last is not None
    assert runtime.last.level == 2


def test_pinned_when_loaded(path: Path) -> None:
    with Runtime.load(path, level=2, target_ms=1000) as runtime:
        runtime.infer(sample())
        assert runtime.last is not None
        assert runtime.last.level == 2
        assert "fixed" in runtime.last.reason
        runtime.infer(sample(), level=0)
        assert runtime.last.level == 0


def test_accuracy_floor(path: Path) -> None:
    with Runtime.load(path, min_accuracy=0.75, target_ms=1e-6) as runtime:
        assert (runtime.allowed_levels, runtime.min_accuracy) == ((0, 1), 0.75)
        runtime.infer(sample())
        assert runtime.last is not None
        assert runtime.last.level == 1
        runtime.infer(sample(), deadline_ms=1e-6)
        assert runtime.last.level == 1
        runtime.set_min_accuracy(0.85)
        runtime.infer(sample())
        assert runtime.last.level == 0
        assert (runtime.allowed_levels, runtime.min_accuracy) == ((0,), 0.85)
        runtime.set_min_accuracy(None)
        assert runtime.allowed_levels == (0, 1, 2)
        assert runtime.min_accuracy is None
        runtime.infer(sample())
        assert runtime.last.level == 2


def test_target_can_change(runtime: Runtime) -> None:
    default_ms = runtime.target_ms
    assert runtime.given_target_ms is None
    runtime.target_ms = 1e-6
    assert runtime.given_target_ms == 1e-6
    runtime.infer(sample())
    assert runtime.last is not None
    assert (runtime.last.level, runtime.last.target_ms) == (2, 1e-6)
    runtime.target_ms = None
    assert runtime.target_ms >= default_ms  # with what calls and pauses cost, by now
    with pytest.raises(InputError, match="target_ms=-1"):
        runtime.target_ms = -1


def native_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether the condition comes true; threads take a moment to vanish."""
    deadline_s = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return condition()


def test_closing(path: Path) -> None:
    before = native_threads()
    runtime = Runtime.load(path, threads=4)
    assert not runtime.closed
    assert native_threads() > before
    runtime.close()
    runtime.close()
    assert runtime.closed
    assert eventually(lambda: native_threads() <= before)
    with pytest.raises(ClosedError, match="was closed"):
        runtime.infer(sample())
    assert (runtime.name, runtime.threads) == ("small", 4)
    assert runtime.levels[0].predicted_ms
    assert runtime.stats().inferences == 0
    with Runtime.load(path) as other:
        pass
    assert other.closed


def test_a_forgotten_runtime_stops_its_thread(path: Path) -> None:
    threads = threading.active_count()
    runtime = Runtime.load(path)
    assert threading.active_count() > threads
    del runtime
    gc.collect()
    assert eventually(lambda: threading.active_count() == threads)


def test_many_threads(runtime: Runtime) -> None:
    x = sample(batch=8)
    expected = {level: runtime.infer(x, level=level) for level in (0, 1, 2)}
    wrong: list[int] = []

    def work(seed: int) -> None:
        for level in np.random.default_rng(seed).integers(0, 3, 50):
            outputs, record = runtime.run(x, level=int(level))
            if record.level != level or (outputs["head_out"] != expected[int(level)]).any():
                wrong.append(int(level))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    stats = runtime.stats()
    assert stats.inferences == 3 + 6 * 50
    assert stats.samples == 8 * stats.inferences


def test_several_inputs(tmp_path: Path) -> None:
    parts = later_model()
    rng = np.random.default_rng(5)
    with Runtime.load(parts.write(tmp_path / "later.aio")) as runtime:
        assert [(info.name, info.shape) for info in runtime.inputs] == [
            ("x", (3, 9, 7)),
            ("vector", (5,)),
            ("gate", (40, 1, 1)),
        ]
        arrays = {
            info.name: rng.standard_normal((2, *info.shape), dtype=np.float32)
            for info in runtime.inputs
        }
        for level in range(3):
            expected = evaluate(parts, list(arrays.values()), level)
            for x in (arrays, list(arrays.values()), dict(reversed(arrays.items()))):
                outputs = runtime.run(x, level=level).outputs
                for name, value in expected.items():
                    assert (np.abs(outputs[name] - value.exact) <= value.error).all()
        paced = runtime.run(arrays, deadline_ms=1000)
        assert paced.record.batch == 2
        one = runtime.run({name: x[0] for name, x in arrays.items()}).outputs
        assert one["scores_out"].shape == (10,)
        none = runtime.run([x[:0] for x in arrays.values()]).outputs
        assert none["image_out"].shape == (0, 33, 7, 5)
        with pytest.raises(InputError, match="inputs are missing 'vector'"):
            runtime.run({"x": arrays["x"]})


def test_closing_while_others_infer(path: Path) -> None:
    runtime = Runtime.load(path)
    x = sample(batch=64)
    ends: list[type[Exception]] = []

    def work() -> None:
        try:
            while True:
                runtime.infer(x)
        except ClosedError as error:
            ends.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: runtime.stats().inferences > 4)
    runtime.close()
    for thread in threads:
        thread.join(timeout=30)
    assert ends == [ClosedError] * 4


FORK = """
import os, sys, warnings
import numpy as np
from aio.runtime import ForkError, Runtime
warnings.simplefilter("ignore")
runtime = Runtime.load(sys.argv[1], threads=2)
x = np.zeros((1, 3, 11, 9), np.float32)
runtime.infer(x)
pid = os.fork()
if pid == 0:
    try:
        runtime.infer(x)
    except ForkError:
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), runtime.infer(x).shape)
"""


def test_a_forked_child_is_told(path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FORK, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == "7 (1, 10)\n", result.stderr
