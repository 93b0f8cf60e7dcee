# SPDX-License-Identifier: Apache-2.0
"""The runtime: one loaded model that answers at the pruning ratio the clock allows.

    runtime = Runtime.load("resnet18.aio", target_ms=20)
    y = runtime.infer(x)

One inference runs at a time, on all threads of the runtime; calls from several Python threads wait
for each other. The GIL is released while the network runs.
"""

import math
import operator
import os
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, SupportsFloat, SupportsIndex, final

import numpy as np
from numpy.typing import NDArray

from aio.governors import Capability, ClockSample, DeviceSample, FixedPolicy, Plan
from aio.runtime.calibration import Turn
from aio.runtime.chooser import Choice
from aio.runtime.errors import ClosedError, ForkError, InputError
from aio.runtime.inputs import Inputs, accurate_levels, as_batches, as_duration_ms, as_level
from aio.runtime.latency_model import LatencyModel
from aio.runtime.loading import Engine, Options, load_engine
from aio.runtime.model_file import Manifest
from aio.runtime.records import InferenceRecord, Journal, LevelInfo, RuntimeStats, TensorInfo
from aio.runtime.shipped import SHIPPED_MODEL

if TYPE_CHECKING:
    from aio.runtime import _native


class Inference(NamedTuple):
    """Every output of one call by name, and how the call went."""

    outputs: dict[str, NDArray[np.float32]]
    record: InferenceRecord


@final
class Runtime:
    """A loaded model. Made by `load`; thread-safe; close it or use it in a `with` statement."""

    def __init__(self, engine: Engine, executor: "_native.Executor") -> None:
        self._engine = engine
        self._layers = tuple(executor.layers())
        self._ratios = tuple(level.ratio for level in engine.levels)
        self._chooser = engine.chooser
        self._executor: _native.Executor | None = executor
        # What the executor was last set to.
        self._plan: Plan | None = None
        self._paced_by: tuple[NDArray[np.float64] | None, tuple[int, ...]] = (None, ())
        self._lock = threading.Lock()
        self._settings = threading.Lock()  # of settings that are two values
        self._min_accuracy = engine.min_accuracy
        self._journal = Journal(len(engine.levels))
        self._pid = os.getpid()
        self._release = weakref.finalize(self, engine.release)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        target_ms: SupportsFloat | None = None,
        battery_target_ms: SupportsFloat | None = None,
        threads: SupportsIndex | None = None,
        min_accuracy: SupportsFloat | None = None,
        level: SupportsIndex | None = None,
        policy: str = "adaptive",
        replan: bool = True,
        isa: str | None = None,
        calibrate: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        turn: Turn | None = None,
    ) -> "Runtime":
        """Load a model file and calibrate it on this machine.

        Args:
            path: the model file; None is the digit classifier that ships with the package.
            target_ms: latency of one sample to hold. None: 1.05 times what the densest level takes
                at full clock, so that the latency stays when the clock falls; what pauses between
                calls and the call itself cost is added. Infinity: always the densest level allowed.
            battery_target_ms: the target while the device runs on battery; None is the same one.
            threads: None follows affinity, cgroup quota and the fastest kind of cores.
            min_accuracy: never choose a level whose recorded accuracy is lower.
            level: always use this level, whatever the policy.
            policy: "adaptive" holds the target by what clocks and measured latencies say, mixing
                levels across layers; "table" follows the clock alone, by whole levels; "fixed"
                always uses `level`, or the densest one that is accurate enough.
            replan: let layers still to run change their level when an inference gets late or early.
            isa: instruction set of the kernels; None is the best one, see `native_info`.
            calibrate: measure how long the levels take unless the cache knows. Without a
                calibration the densest level is used.
            cache_dir: where calibrations are kept; None is AIO_CACHE_DIR or the user's cache.
            turn: entered while measuring, so that a program with other work for the processor can
                keep it quiet meanwhile; None where there is no such work.

        Raises:
            ModelFileError: the file is not usable; the message says what is wrong with it.
            InputError: an argument is out of range.
        """
        options = Options(
            target_ms=target_ms,
            battery_target_ms=battery_target_ms,
            threads=threads,
            min_accuracy=min_accuracy,
            level=level,
            policy=policy,
            replan=replan,
            isa=isa,
            calibrate=calibrate,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            turn=turn,
        )
        return cls(*load_engine(SHIPPED_MODEL if path is None else Path(path), options))

    def infer(
        self,
        x: Inputs,
        *,
        deadline_ms: SupportsFloat | None = None,
        level: SupportsIndex | None = None,
    ) -> NDArray[np.float32]:
        """Return the model's answer to a batch (N, C, H, W), or to one sample (C, H, W).

        Args:
            x: float32 in C order is used as it is, other real numbers are converted. A flat input
                is (N, features) or (features,). A model of several inputs takes a mapping of
                arrays by their names, or a list or tuple in their order, all with the same N.
            deadline_ms: this call's own budget, waiting for other calls included. It takes the
                place of the target: the densest level that keeps it is used.
            level: use this level, whatever the clock, target and accuracy floor.

        Raises:
            InputError: an argument is wrong, or the model has several outputs (see `run`).
            ClosedError: the runtime was closed.
        """
        if len(self._engine.outputs) != 1:
            names = ", ".join(output.name for output in self._engine.outputs)
            raise InputError(f"the model has several outputs ({names}): use run()")
        return self._infer(x, deadline_ms, level)[0][0]

    def run(
        self,
        x: Inputs,
        *,
        deadline_ms: SupportsFloat | None = None,
        level: SupportsIndex | None = None,
        budget_ms: SupportsFloat | None = None,
    ) -> Inference:
        """Return every output and the record of exactly this call; otherwise like `infer`.

        Args:
            x: as for `infer`.
            deadline_ms: as for `infer`.
            level: as for `infer`.
            budget_ms: what this call as a whole is to take instead of the target, in the runtime
                alone. An aim and no promise: unlike a deadline it is planned for without a
                margin, and missing it counts as nothing. The tighter of the two decides.
        """
        outputs, record = self._infer(x, deadline_ms, level, budget_ms)
        names = (output.name for output in self._engine.outputs)
        return Inference(dict(zip(names, outputs, strict=True)), record)

    def predict_ms(
        self, batch: SupportsIndex = 1, level: SupportsIndex | None = None
    ) -> float | None:
        """Return how long a call would take now, None without a calibration.

        Never waits for a call that runs; asked meanwhile, it is about a call right after it.

        Args:
            batch: the samples of the call.
            level: at which level; None is the sparsest one that the governor may choose.

        Raises:
            InputError: there is no such level.
        """
        at = self._chooser.allowed[-1] if level is None else as_level(level, len(self._ratios))
        return self._chooser.predict_call(at, operator.index(batch), time.monotonic_ns())

    def _infer(
        self,
        x: Inputs,
        deadline_ms: SupportsFloat | None,
        level: SupportsIndex | None,
        budget_ms: SupportsFloat | None = None,
    ) -> tuple[list[NDArray[np.float32]], InferenceRecord]:
        begin_ns = time.monotonic_ns()
        if deadline_ms is not None:
            deadline_ms = as_duration_ms("deadline_ms", deadline_ms)
        if budget_ms is not None:
            budget_ms = as_duration_ms("budget_ms", budget_ms)
        if level is not None:
            level = as_level(level, len(self._ratios))
        batches, single = as_batches(x, self._engine.inputs)
        samples = len(batches[0])
        self._check_process()
        with self._lock:
            locked_ns = time.monotonic_ns()
            executor = self._executor
            if executor is None:
                raise ClosedError("the runtime was closed")
            wait_ms = (locked_ns - begin_ns) / 1e6
            left_ms = None if deadline_ms is None else deadline_ms - wait_ms
            choice = self._choose(samples, left_ms, budget_ms, level, locked_ns)
            outputs, levels, replans = self._execute(executor, batches, choice, locked_ns)
        predicted_ms = choice.predicted_ms
        record = InferenceRecord(
            time_ns=begin_ns,
            plan=choice.plan,
            levels=levels,
            replans=replans,
            ratio=self._ratios[choice.plan.level],
            batch=samples,
            latency_ms=(time.monotonic_ns() - begin_ns) / 1e6,
            wait_ms=wait_ms,
            predicted_ms=None if predicted_ms is None else predicted_ms * samples,
            target_ms=choice.target_ms,
            deadline_ms=deadline_ms,
            slowdown=choice.slowdown,
            reason=choice.reason,
            sample=choice.sample,
        )
        if samples:
            self._journal.note(record)
        return [output[0] for output in outputs] if single else outputs, record

    def layer_times_ms(self, x: Inputs, plan: Plan | None = None) -> list[float]:
        """Return how long each layer took in one inference that is timed layer by layer.

        Reading the clock between layers takes time too, so the sum is a little more than a call
        takes. The order is that of `layers`. Nothing is learned from it and nothing counted.

        Args:
            x: as for `infer`; the times of its samples are added up.
            plan: which levels to use; None is the plan of the last call, else the densest level.

        Raises:
            InputError: the input is wrong.
            ClosedError: the runtime was closed.
        """
        batches, _ = as_batches(x, self._engine.inputs)
        self._check_process()
        with self._lock:
            executor = self._executor
            if executor is None:
                raise ClosedError("the runtime was closed")
            chosen = plan or self._plan or Plan.uniform(0)
            executor.set_layer_levels(chosen.levels(len(self._layers)))
            self._plan = None
            executor.set_profiling(True)
            try:
                executor.run(batches)
                return [ns / 1e6 for ns in executor.layer_ns()]
            finally:
                executor.set_profiling(False)

    def _execute(
        self,
        executor: "_native.Executor",
        batches: list[NDArray[np.float32]],
        choice: Choice,
        begin_ns: int,
    ) -> tuple[list[NDArray[np.float32]], tuple[int, ...], int]:
        """Run a batch as chosen, and let the chooser learn from it; the caller holds the lock."""
        plan, costs_ns = choice.plan, choice.costs_ns
        samples = len(batches[0])
        if not samples:
            return self._empty(), (), 0
        if plan != self._plan:
            if plan.mixed:
                executor.set_layer_levels(plan.levels(len(self._layers)))
            else:
                executor.set_level(plan.rest)
            self._plan = plan
        levels = tuple(sorted({plan.first, plan.rest}))
        x = batches[0] if len(batches) == 1 else batches
        if costs_ns is None:
            return executor.run(x), levels, 0
        self._set_pace(executor, costs_ns)
        outputs, elapsed_ns, expected_ns, replans = executor.run_paced(
            x,
            budget_ns=max(0.0, choice.budget_ms) * samples * 1e6,
            slowdown=choice.slowdown,
            replan=choice.replan,
        )
        if replans:
            levels = tuple(sorted(set(executor.paced_levels())))
        end_ns = time.monotonic_ns()
        self._chooser.observe(
            choice,
            elapsed_ns=elapsed_ns,
            expected_ns=expected_ns,
            overhead_ns=(end_ns - begin_ns - elapsed_ns) / samples,
            now_ns=end_ns,
        )
        return outputs, levels, replans

    def _set_pace(self, executor: "_native.Executor", costs_ns: NDArray[np.float64]) -> None:
        """Give the executor the costs and levels that it does not have yet."""
        allowed = self._chooser.allowed
        costs, levels = self._paced_by
        if costs is not costs_ns or levels != allowed:
            executor.set_pace(costs_ns, allowed)
            self._paced_by = costs_ns, allowed

    def _choose(
        self,
        batch: int,
        left_ms: float | None,
        aim_ms: float | None,
        level: int | None,
        now_ns: int,
    ) -> Choice:
        if level is not None:
            return self._chooser.pinned(level, now_ns)
        if left_ms is None and aim_ms is None:
            return self._chooser.for_target(now_ns)
        samples = max(batch, 1)
        return self._chooser.for_budget(
            math.inf if left_ms is None else left_ms / samples,
            now_ns,
            aim_ms=math.inf if aim_ms is None else aim_ms / samples,
        )

    def _empty(self) -> list[NDArray[np.float32]]:
        return [np.empty((0, *output.shape), np.float32) for output in self._engine.outputs]

    def _check_process(self) -> None:
        # The threads that compute stay in the parent; waiting for them would never end.
        if os.getpid() != self._pid:
            raise ForkError(
                f"the runtime was loaded in process {self._pid}, this is {os.getpid()}: "
                "load the model after forking, or start workers with the spawn method"
            )

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self._engine.manifest.name

    @property
    def manifest(self) -> Manifest:
        """Return what the model file says about itself."""
        return self._engine.manifest

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Return the model's inputs in their order."""
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Return the model's outputs with their labels."""
        return self._engine.outputs

    @property
    def levels(self) -> tuple[LevelInfo, ...]:
        """Return the levels, densest first, with what they would take at the clock of now."""
        predicted = self._chooser.predict()
        if predicted is None:
            return self._engine.levels
        return tuple(
            replace(level, predicted_ms=predicted_ms)
            for level, predicted_ms in zip(self._engine.levels, predicted, strict=True)
        )

    @property
    def last(self) -> InferenceRecord | None:
        """Return how the last call of any thread went, None before the first."""
        return self._journal.last

    def stats(self) -> RuntimeStats:
        """Return counts, latencies and decisions since the model was loaded."""
        chooser = self._chooser
        return self._journal.stats(
            decisions=chooser.history(),
            plan_changes=chooser.changes,
            residual=chooser.residual,
            prediction_error=chooser.prediction_error(),
        )

    @property
    def target_ms(self) -> float:
        """Return the latency of one sample to hold now; infinity if there is no target."""
        return self._chooser.target_ms

    @target_ms.setter
    def target_ms(self, target_ms: SupportsFloat | None) -> None:
        wanted_ms = None
        if target_ms is not None:
            wanted_ms = as_duration_ms("target_ms", target_ms)
        with self._settings:
            self._chooser.targets = self._chooser.targets._replace(ac_ms=wanted_ms)

    @property
    def given_target_ms(self) -> float | None:
        """Return the target that was asked for on mains, None if the default one is held."""
        return self._chooser.targets.ac_ms

    @property
    def battery_target_ms(self) -> float | None:
        """Return the target while the device runs on battery, None if it is the same one."""
        return self._chooser.targets.battery_ms

    @battery_target_ms.setter
    def battery_target_ms(self, target_ms: SupportsFloat | None) -> None:
        wanted_ms = None
        if target_ms is not None:
            wanted_ms = as_duration_ms("battery_target_ms", target_ms)
        with self._settings:
            self._chooser.targets = self._chooser.targets._replace(battery_ms=wanted_ms)

    @property
    def policy(self) -> str:
        """Return the name of the policy that chooses the plans."""
        return self._chooser.policy.name

    @property
    def allowed_levels(self) -> tuple[int, ...]:
        """Return the levels the governor may choose, densest first."""
        return self._chooser.allowed

    @property
    def min_accuracy(self) -> float | None:
        """Return the accuracy below which no level is chosen, None without such a floor."""
        return self._min_accuracy

    def set_min_accuracy(self, min_accuracy: SupportsFloat | None) -> None:
        """Let the governor choose only levels of at least this recorded accuracy; None: any.

        Raises:
            InputError: no level is accurate enough, the one that the runtime was loaded with is
                not, or the model records no accuracy.
        """
        accuracies = [level.accuracy for level in self._engine.levels]
        levels = tuple(range(len(accuracies)))
        if min_accuracy is not None:
            levels = accurate_levels(accuracies, min_accuracy)
        if isinstance(self._chooser.policy, FixedPolicy):
            (fixed,) = levels_in_force = self._chooser.allowed
            if fixed not in levels:
                raise InputError(
                    f"min_accuracy={min_accuracy}: the runtime was loaded with level={fixed}, "
                    f"whose accuracy is {accuracies[fixed]}"
                )
            levels = levels_in_force
        with self._settings:
            self._chooser.allowed = levels
            self._min_accuracy = None if min_accuracy is None else float(min_accuracy)

    @property
    def layers(self) -> "tuple[_native.LayerInfo, ...]":
        """Return the executor's layers in execution order."""
        return self._layers

    @property
    def calibration(self) -> LatencyModel | None:
        """Return how long levels and layers were measured to take, None if nobody measured."""
        return self._chooser.model

    @property
    def clock(self) -> ClockSample:
        """Return the newest sample of the CPU clock."""
        return self._chooser.sample.clock

    @property
    def device(self) -> DeviceSample:
        """Return the newest sample of everything the sensors see."""
        return self._chooser.sample

    @property
    def sensors(self) -> tuple[Capability, ...]:
        """Return what every driver of every quantity says."""
        return self._engine.sensors

    @property
    def isa(self) -> str:
        """Return the instruction set of the kernels."""
        return self._engine.isa

    @property
    def threads(self) -> int:
        """Return how many threads compute."""
        return self._engine.threads

    @property
    def threads_reason(self) -> str:
        """Return why there are that many threads."""
        return self._engine.threads_reason

    @property
    def closed(self) -> bool:
        """Return whether `close` was called."""
        return self._executor is None

    def close(self) -> None:
        """Wait for the running inference, then free weights, threads and sensors.

        What the runtime tells about itself can still be asked. May be called twice.
        """
        with self._lock:
            self._executor = None
        self._release()

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
