# SPDX-License-Identifier: Apache-2.0
"""What the server needs of `aio.runtime.Runtime`, and what it tells of an inference."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from aio.runtime.serve.protocol.schema import ModelSpec, Parameter, Tensor, TensorSpec

if TYPE_CHECKING:
    from aio.governors import Capability, ClockSample, DeviceSample
    from aio.runtime.records import InferenceRecord, LevelInfo, RuntimeStats, TensorInfo
    from aio.runtime.runtime import Inference


class Engine(Protocol):
    """A loaded model that chooses its level. `run` is called by one thread at a time."""

    @property
    def name(self) -> str:
        """Return the model's name."""

    @property
    def isa(self) -> str:
        """Return the instruction set of the kernels."""

    @property
    def threads(self) -> int:
        """Return how many threads compute."""

    @property
    def target_ms(self) -> float:
        """Return the latency to stay below; infinity if there is none."""

    @target_ms.setter
    def target_ms(self, target_ms: float | None) -> None: ...

    @property
    def given_target_ms(self) -> float | None:
        """Return the target that was asked for on mains, None if the default one is held."""

    @property
    def battery_target_ms(self) -> float | None:
        """Return the target while the device runs on battery, None if it is the same one."""

    @battery_target_ms.setter
    def battery_target_ms(self, target_ms: float | None) -> None: ...

    @property
    def min_accuracy(self) -> float | None:
        """Return the accuracy below which no level is chosen, None without such a floor."""

    def set_min_accuracy(self, min_accuracy: float | None) -> None:
        """Choose only levels of at least this recorded accuracy; None is any level."""

    @property
    def allowed_levels(self) -> tuple[int, ...]:
        """Return the levels that may be chosen, densest first."""

    @property
    def clock(self) -> "ClockSample":
        """Return the newest sample of the CPU clock."""

    @property
    def device(self) -> "DeviceSample":
        """Return the newest sample of everything the sensors see."""

    @property
    def sensors(self) -> "Sequence[Capability]":
        """Return what every driver of every quantity says."""

    @property
    def policy(self) -> str:
        """Return the name of the policy that chooses the plans."""

    @property
    def last(self) -> "InferenceRecord | None":
        """Return how the last call went, None before the first."""

    @property
    def inputs(self) -> "Sequence[TensorInfo]":
        """Return the model's inputs."""

    @property
    def outputs(self) -> "Sequence[TensorInfo]":
        """Return the model's outputs."""

    @property
    def levels(self) -> "Sequence[LevelInfo]":
        """Return the levels, densest first."""

    def predict_ms(self, batch: int = 1, level: int | None = None) -> float | None:
        """Return how long a call would take now, at the sparsest level allowed unless given one.

        None without a calibration. Called in the event loop, also while `run` runs.
        """

    def run(
        self,
        x: Mapping[str, Tensor],
        *,
        deadline_ms: float | None = None,
        level: int | None = None,
        budget_ms: float | None = None,
    ) -> "Inference":
        """Return every output and the record of this call; `x` has every input by name."""

    def stats(self) -> "RuntimeStats":
        """Return counts, latencies and decisions so far."""

    def close(self) -> None:
        """Free threads and sensors."""


def describe(engine: Engine, version: str, name: str | None = None) -> ModelSpec:
    """Return what clients may know of a loaded model; its own name where no other is given."""
    return ModelSpec(
        name=name or engine.name,
        version=version,
        inputs=tuple(TensorSpec(item.name, item.shape) for item in engine.inputs),
        outputs=tuple(
            TensorSpec(item.name, item.shape, item.labels or ()) for item in engine.outputs
        ),
        levels=len(engine.levels),
    )


def answer_parameters(record: "InferenceRecord") -> dict[str, Parameter]:
    """Return the `aio_*` parameters of a response; a missing reading is left out."""
    parameters: dict[str, Parameter] = {
        "aio_level": record.level,
        "aio_ratio": record.ratio,
        "aio_plan": str(record.plan),
        "aio_replans": record.replans,
        "aio_latency_ms": round(record.latency_ms, 4),
        "aio_reason": record.reason,
    }
    if record.predicted_ms is not None:
        parameters["aio_predicted_ms"] = round(record.predicted_ms, 4)
    if record.cpu_khz is not None:
        parameters["aio_cpu_khz"] = record.cpu_khz
    return parameters
