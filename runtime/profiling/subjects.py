# SPDX-License-Identifier: Apache-2.0
"""What is measured: the runtime at a fixed ratio or by a policy, and ONNX Runtime.

All runtimes share one calibration and one target, so that only their policies differ. ONNX
Runtime gets the same network at the densest level, or a file of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.governors import DeviceSample, Sampler, default_threads, open_sensors
from aio.runtime import _native
from aio.runtime.chooser import DEFAULT_SLACK
from aio.runtime.inputs import Inputs
from aio.runtime.model_file import ModelFile, read_model_file
from aio.runtime.profiling.onnx_file import OnnxFile
from aio.runtime.records import InferenceRecord, TensorInfo
from aio.runtime.runtime import Runtime

FIXED, TABLE, ADAPTIVE, ORT = "fixed", "table", "adaptive", "ort"
RATIO_TOLERANCE = 1e-3
MIN_CALL_MS = 20.0  # below it a clock thief's period of 1 ms is too coarse
_SEED = 0

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Spec:
    """A subject as users name it: fixed:RATIO, table, adaptive or ort."""

    kind: str
    ratio: float | None = None

    @property
    def name(self) -> str:
        """Return the name in tables."""
        return self.kind if self.ratio is None else f"{self.kind}:{self.ratio}"


def parse_subjects(text: str) -> tuple[Spec, ...]:
    """Return the subjects that a list with commas names.

    Raises:
        ValueError: a name is not known, or there twice.
    """
    specs = [_parse(word.strip()) for word in text.split(",")]
    if len(set(specs)) != len(specs):
        raise ValueError(f"--compare {text!r} names a subject twice")
    return tuple(specs)


def _parse(word: str) -> Spec:
    kind, colon, ratio = word.partition(":")
    if kind in {TABLE, ADAPTIVE, ORT} and not colon:
        return Spec(kind)
    try:
        if kind == FIXED and colon:
            return Spec(FIXED, float(ratio))
    except ValueError:
        pass  # told below, as any other word
    raise ValueError(f"--compare has {word!r}, expected fixed:RATIO, table, adaptive or ort")


@dataclass(frozen=True)
class Subject:
    """Something that answers.

    `call` makes one call and returns its record, None for other engines; `device` returns what
    the sensors say. `accuracies` are those of the levels. `load_ms` is how long loading took.
    """

    name: str
    engine: str
    threads: int
    load_ms: float
    call: Callable[[], InferenceRecord | None]
    device: Callable[[], DeviceSample]
    accuracies: tuple[float | None, ...]
    runtime: Runtime | None = None


@dataclass(frozen=True)
class Field:
    """The subjects. `sample` is an input of one sample. Without a model there is no target."""

    subjects: tuple[Subject, ...]
    batch: int
    target_ms: float | None
    dense_ms: float | None
    sample: Inputs | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to open. `batch` None is as many samples as make a call last `min_call_ms`."""

    model: Path | None
    specs: tuple[Spec, ...]
    onnx: Path | None = None
    threads: int | None = None
    batch: int | None = 1
    target_ms: float | None = None
    cache_dir: Path | None = None
    min_call_ms: float = MIN_CALL_MS


@contextmanager
def open_field(wanted: Wanted) -> Iterator[Field]:
    """Load every subject at the clocks of now; the first one calibrates.

    Raises:
        ModelFileError: the model file is not usable.
        ValueError: the model has no such ratio, or the ONNX file is not usable.
    """
    with ExitStack() as stack:
        sensors = _Sensors(stack, wanted.threads)
        if wanted.model is None:
            yield Field(_onnx(wanted, sensors), wanted.batch or 1, None, None, None)
            return
        loader = _Loader(stack, wanted, wanted.model, sensors)
        subjects = tuple(loader.load(spec) for spec in wanted.specs)
        yield Field(
            (*subjects, *_onnx(wanted, sensors)),
            loader.batch,
            loader.target_ms * loader.batch,
            loader.dense_ms * loader.batch,
            _made_up(loader.inputs, 1),
        )


class _Sensors:
    """The sensors for subjects that have none; opened when the first of them asks."""

    def __init__(self, stack: ExitStack, threads: int | None) -> None:
        self._stack, self._threads = stack, threads
        self._sampler: Sampler | None = None

    def latest(self) -> DeviceSample:
        if self._sampler is None:
            source = open_sensors(_native.measure_cpu_khz, threads=self._threads)
            self._stack.callback(source.close)
            self._sampler = self._stack.enter_context(Sampler(source))
        self._sampler.touch()
        return self._sampler.latest()


class _Loader:
    """Loads subjects over one model file."""

    def __init__(self, stack: ExitStack, wanted: Wanted, path: Path, sensors: _Sensors) -> None:
        self._stack, self._wanted, self._path, self._sensors = stack, wanted, path, sensors
        self._model: ModelFile = read_model_file(path)
        levels = self._model.manifest.levels
        self._ratios = tuple(level.ratio for level in levels)
        self._accuracies = tuple(level.accuracy for level in levels)
        for spec in wanted.specs:  # before seconds are spent on the first
            self._level(spec)
        begin_ns = time.monotonic_ns()
        base = self._open(ADAPTIVE, None)
        self._base, self._base_ms = base, (time.monotonic_ns() - begin_ns) / 1e6
        self.inputs = base.inputs
        calibration = base.calibration
        assert calibration is not None  # load() measures what no cache knows
        self.dense_ms = calibration.predict(base.clock.max_khz)[0]
        given = wanted.target_ms
        self.target_ms = DEFAULT_SLACK * self.dense_ms if given is None else given
        base.target_ms = self.target_ms
        auto = max(1, round(wanted.min_call_ms / self.dense_ms))
        self.batch = auto if wanted.batch is None else wanted.batch
        self.x = _made_up(base.inputs, self.batch)

    def load(self, spec: Spec) -> Subject:
        """Return a subject, ready for its first call."""
        begin_ns = time.monotonic_ns()
        if spec.kind == ORT:
            return self._ort(spec, begin_ns)
        if spec.kind == ADAPTIVE:
            return self._subject(spec, self._base, self._base_ms)
        runtime = self._open(spec.kind, self._level(spec))
        runtime.target_ms = self.target_ms
        return self._subject(spec, runtime, (time.monotonic_ns() - begin_ns) / 1e6)

    def _subject(self, spec: Spec, runtime: Runtime, load_ms: float) -> Subject:
        x = self.x
        return Subject(
            name=spec.name,
            engine=f"aio {runtime.isa}",
            threads=runtime.threads,
            load_ms=load_ms,
            call=_recording(runtime, x),
            device=lambda: runtime.device,
            accuracies=self._accuracies,
            runtime=runtime,
        )

    def _ort(self, spec: Spec, begin_ns: int) -> Subject:
        from aio.runtime.benchmark.peers import OnnxRuntimePeer  # noqa: PLC0415 - needs the extra

        x = self.x
        if not isinstance(x, np.ndarray):
            raise ValueError(f"--compare ort: {self._path} has {len(self.inputs)} inputs, not one")
        threads = self._base.threads
        peer = OnnxRuntimePeer(self._model, 0, threads, self.batch)
        return Subject(
            name=spec.name,
            engine=f"{peer.name} {peer.version}",
            threads=threads,
            load_ms=(time.monotonic_ns() - begin_ns) / 1e6,
            call=_answering(peer.infer, x),
            device=self._sensors.latest,
            accuracies=self._accuracies[:1],
        )

    def _open(self, policy: str, level: int | None) -> Runtime:
        wanted = self._wanted
        return self._stack.enter_context(
            Runtime.load(
                self._path,
                threads=wanted.threads,
                policy=policy,
                level=level,
                cache_dir=wanted.cache_dir,
            )
        )

    def _level(self, spec: Spec) -> int | None:
        if spec.ratio is None:
            return None
        for level, ratio in enumerate(self._ratios):
            if abs(ratio - spec.ratio) < RATIO_TOLERANCE:
                return level
        names = ", ".join(f"{ratio:g}" for ratio in self._ratios)
        raise ValueError(f"--compare has {spec.name}, the model has the ratios {names}")


def _onnx(wanted: Wanted, sensors: _Sensors) -> tuple[Subject, ...]:
    """Return the ONNX file as a subject, if one is wanted."""
    if wanted.onnx is None:
        return ()
    threads = default_threads().threads if wanted.threads is None else wanted.threads
    begin_ns = time.monotonic_ns()
    network = OnnxFile(wanted.onnx, threads, wanted.batch or 1)
    return (
        Subject(
            name=f"onnx:{wanted.onnx.stem}",
            engine=f"ONNX Runtime {network.version}",
            threads=threads,
            load_ms=(time.monotonic_ns() - begin_ns) / 1e6,
            call=network.call,
            device=sensors.latest,
            accuracies=(),
        ),
    )


def _made_up(inputs: Sequence[TensorInfo], batch: int) -> Inputs:
    """Return an array, or arrays by name for several inputs, of a normal distribution."""
    generator = np.random.default_rng(_SEED)
    arrays: dict[str, Array] = {
        info.name: generator.standard_normal((batch, *info.shape), dtype=np.float32)
        for info in inputs
    }
    return arrays if len(arrays) != 1 else arrays[inputs[0].name]


def _recording(runtime: Runtime, x: Inputs) -> Callable[[], InferenceRecord | None]:
    """Return what applications do, `infer` where the model has one output, and its record."""
    if len(runtime.outputs) != 1:
        return lambda: runtime.run(x).record

    def call() -> InferenceRecord | None:
        runtime.infer(x)
        return runtime.last

    return call


def _answering(infer: Callable[[Array], Array], x: Array) -> Callable[[], None]:
    def call() -> None:
        infer(x)

    return call
