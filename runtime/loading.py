# SPDX-License-Identifier: Apache-2.0
"""Everything that happens once, when a model is loaded: check, pack, find the clock, calibrate."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsFloat, SupportsIndex

import numpy as np

from aio.governors import (
    AdaptivePolicy,
    Capability,
    ClockSample,
    FixedPolicy,
    RatioPolicy,
    Sampler,
    SensorSource,
    TablePolicy,
    default_threads,
    open_sensors,
)
from aio.governors.daemon.client import SharedSensors
from aio.governors.daemon.folder import RUNTIME_VARIABLE
from aio.governors.sysfs import ROOT_VARIABLE
from aio.runtime import _native, calibration, calibration_cache
from aio.runtime.chooser import PlanChooser, Targets
from aio.runtime.device import cpu_model
from aio.runtime.errors import InputError
from aio.runtime.inputs import accurate_levels, as_duration_ms, as_integer, as_level
from aio.runtime.latency_model import LatencyModel
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import Manifest, ModelFile, read_model_file
from aio.runtime.records import LevelInfo, TensorInfo

MAX_THREADS = 1024
FIXED = "fixed"
# What `policy` may name, with those that need to be told nothing.
POLICIES: dict[str, Callable[[], RatioPolicy]] = {
    "adaptive": AdaptivePolicy,
    "table": TablePolicy,
}
_SEED = 0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The arguments of `Runtime.load`, which documents them."""

    target_ms: SupportsFloat | None = None
    battery_target_ms: SupportsFloat | None = None
    threads: SupportsIndex | None = None
    min_accuracy: SupportsFloat | None = None
    level: SupportsIndex | None = None
    policy: str = "adaptive"
    replan: bool = True
    isa: str | None = None
    calibrate: bool = True
    cache_dir: Path | None = None
    turn: calibration.Turn | None = None


@dataclass(frozen=True)
class Engine:
    """What a loaded model consists of, but for its executor. `release` stops the sampler."""

    manifest: Manifest
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    levels: tuple[LevelInfo, ...]
    chooser: PlanChooser
    min_accuracy: float | None
    source: SensorSource
    isa: str
    threads: int
    threads_reason: str
    release: Callable[[], None]

    @property
    def sensors(self) -> tuple[Capability, ...]:
        """Return what the sensors of every quantity can tell by now."""
        return self.source.capabilities


def load_engine(path: Path, options: Options) -> tuple[Engine, _native.Executor]:
    """Load a model file and make it ready to answer.

    The executor is apart, so that its owner can free it.

    Raises:
        ModelFileError: the file is not usable.
        InputError: an option is out of range.
    """
    model = read_model_file(path)
    policy, allowed = _policy(model.manifest, options)
    targets = _targets(options)
    threads, reason = _threads(options)
    executor = build_executor(model, threads=threads, isa=options.isa, keep_weights=False)
    _log_kernels(model, executor)
    with ExitStack() as undo:
        source = _open_sensors(threads)
        undo.callback(source.close)
        latency_model = _latency_model(model, executor, source, options)
        if latency_model is None and targets != Targets():
            name = "battery_target_ms" if targets.ac_ms is None else "target_ms"
            raise InputError(
                f"{name}={getattr(options, name)}: a target needs a calibration, and "
                "calibrate=False found none in the cache"
            )
        sampler = Sampler(source)
        sampler.start()
        undo.callback(sampler.stop)
        chooser = PlanChooser(
            sampler, latency_model, policy, allowed, targets, replan=options.replan
        )
        release = undo.pop_all().close
    engine = Engine(
        manifest=model.manifest,
        inputs=tuple(TensorInfo(spec.name, spec.shape) for spec in model.manifest.inputs),
        outputs=tuple(
            TensorInfo(output.name, model.shapes[output.node], output.labels)
            for output in model.manifest.outputs
        ),
        levels=_level_infos(model),
        chooser=chooser,
        min_accuracy=None if options.min_accuracy is None else float(options.min_accuracy),
        source=source,
        isa=executor.isa,
        threads=executor.threads,
        threads_reason=reason,
        release=release,
    )
    return engine, executor


def _policy(manifest: Manifest, options: Options) -> tuple[RatioPolicy, tuple[int, ...]]:
    count = len(manifest.levels)
    allowed = tuple(range(count))
    if options.min_accuracy is not None:
        accuracies = [level.accuracy for level in manifest.levels]
        allowed = accurate_levels(accuracies, options.min_accuracy)
    if options.policy not in {*POLICIES, FIXED}:
        names = ", ".join([*POLICIES, FIXED])
        raise InputError(f"policy={options.policy!r}: expected one of {names}")
    if options.level is None and options.policy != FIXED:
        return POLICIES[options.policy](), allowed
    level = allowed[0] if options.level is None else as_level(options.level, count)
    if level not in allowed:
        raise InputError(
            f"level={level}: its accuracy {manifest.levels[level].accuracy} is below "
            f"min_accuracy={options.min_accuracy}"
        )
    return FixedPolicy(level), (level,)


def _targets(options: Options) -> Targets:
    """Return the targets asked for, for mains and for battery."""
    target_ms, battery_ms = options.target_ms, options.battery_target_ms
    return Targets(
        None if target_ms is None else as_duration_ms("target_ms", target_ms),
        None if battery_ms is None else as_duration_ms("battery_target_ms", battery_ms),
    )


def _threads(options: Options) -> tuple[int, str]:
    if options.threads is None:
        try:
            budget = default_threads()
        except ValueError as error:  # AIO_SYSFS_ROOT
            raise InputError(str(error)) from error
        return budget.threads, budget.reason
    threads = as_integer("threads", options.threads)
    if not 1 <= threads <= MAX_THREADS:
        raise InputError(f"threads={threads}: expected 1 to {MAX_THREADS}")
    return threads, f"{threads} threads: given by the caller"


def _open_sensors(threads: int) -> SensorSource:
    """Return the sensors of this process, or those of a daemon while there is one."""

    def open_own() -> SensorSource:
        return open_sensors(_native.measure_cpu_khz, threads=threads)

    try:
        # What a daemon samples is the machine: with files of another one it must be named.
        if os.environ.get(ROOT_VARIABLE) and not os.environ.get(RUNTIME_VARIABLE):
            return open_own()
        return SharedSensors(open_own, threads=threads)
    except ValueError as error:  # AIO_SYSFS_ROOT
        raise InputError(str(error)) from error


def _latency_model(
    model: ModelFile, executor: _native.Executor, source: SensorSource, options: Options
) -> LatencyModel | None:
    """Return the calibration of this model here: from the cache, else measured and cached."""
    folder = options.cache_dir or calibration_cache.default_cache_dir()
    key = cache_key(model, executor, source.read().clock)
    if folder is not None and (cached := calibration_cache.load(folder, key)) is not None:
        _logger.info("calibration of %s: from %s", model.path, folder)
        return cached
    if not options.calibrate:
        return None
    begin_s = time.monotonic()
    measured = _measure(model, executor, source, options.turn)
    _logger.info("calibration of %s: %.2f s", model.path, time.monotonic() - begin_s)
    if folder is not None:
        calibration_cache.store(folder, key, measured)
    return measured


def _measure(
    model: ModelFile,
    executor: _native.Executor,
    source: SensorSource,
    turn: calibration.Turn | None,
) -> LatencyModel:
    run_level, layer_times = timed_calls(model, executor)
    with turn or nullcontext():
        measured = calibration.calibrate(
            run_level,
            layer_times,
            executor.levels,
            lambda: source.read().clock,
            offer=calibration.no_offer if turn is None else turn.offer,
        )
    executor.set_level(0)
    return measured


def timed_calls(
    model: ModelFile, executor: _native.Executor
) -> tuple[Callable[[int], None], Callable[[int], list[int]]]:
    """Return what runs a level once, and what does so and returns the time of every layer."""
    generator = np.random.default_rng(_SEED)
    sample = [
        generator.standard_normal((1, *spec.shape), dtype=np.float32)
        for spec in model.manifest.inputs
    ]

    def run_level(level: int) -> None:
        executor.set_level(level)
        executor.run(sample)

    def layer_times(level: int) -> list[int]:
        executor.set_profiling(True)
        run_level(level)
        executor.set_profiling(False)
        return executor.layer_ns()

    return run_level, layer_times


def cache_key(
    model: ModelFile, executor: _native.Executor, clock: ClockSample
) -> calibration_cache.CacheKey:
    """Return what a calibration of this model on this machine is kept under."""
    build = Path(_native.__file__).stat()
    return calibration_cache.CacheKey(
        model_hash=model.content_hash,
        levels=len(model.manifest.levels),
        layers=len(executor.layers()),
        cpu=cpu_model(),
        isa=executor.isa,
        threads=executor.threads,
        clock_driver=clock.driver,
        max_khz=clock.max_khz if clock.policies else None,
        native_build=f"{build.st_size}-{build.st_mtime_ns}",
    )


def _level_infos(model: ModelFile) -> tuple[LevelInfo, ...]:
    return tuple(
        LevelInfo(
            index=index,
            ratio=level.ratio,
            accuracy=level.accuracy,
            nonzero_weights=model.nonzero_weights(index),
            macs=model.macs(index),
            predicted_ms=None,
        )
        for index, level in enumerate(model.manifest.levels)
    )


def _log_kernels(model: ModelFile, executor: _native.Executor) -> None:
    kernels = sorted({layer["kernel"] for layer in executor.layers()} - {""})
    _logger.info("%s: %s, %s", model.path, executor.isa, ", ".join(kernels))
