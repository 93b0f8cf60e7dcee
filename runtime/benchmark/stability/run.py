# SPDX-License-Identifier: Apache-2.0
"""Everything that is known of one model's stability, measured and simulated in one go."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from aio.runtime.benchmark.stability import scenarios
from aio.runtime.benchmark.stability.figures import Stability
from aio.runtime.benchmark.stability.neighbour import NeighbourResult, beside_neighbour
from aio.runtime.benchmark.stability.pace_cost import PaceCost, pace_cost
from aio.runtime.benchmark.stability.realtime import ThievesResult, under_thieves
from aio.runtime.benchmark.stability.subjects import POLICIES, Subject, open_field
from aio.runtime.benchmark.stability.virtual import VirtualNetwork
from aio.runtime.benchmark.surroundings import pinned

ResultT = TypeVar("ResultT")

COST_SECONDS = 6.0
PEER_SECONDS = 2.0
VIRTUAL_PART = 0.3  # of the whole time, for the progress bar


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure: requests per cpufreq governor, trials, rounds and turns."""

    requests: int = 10_000
    trials: int = 1_000
    step_trials: int = 100
    rounds: int = 12
    others: int = 3
    turns: int = 6


QUICK = Effort(requests=500, trials=100, step_trials=20, rounds=1, others=1, turns=1)


@dataclass(frozen=True, slots=True)
class ModelStability:
    """One model. Virtual-time parts are by contestant, live ones by subject.

    `governors` is contestant -> cpufreq governor -> figures; `hidden_steps` is step -> contestant
    -> median over trials of latency over target, by inference after the step; `halved` is
    "re-planned" or "as planned" -> latencies over target. What could not be measured is None and
    `missing` says why.
    """

    path: str
    target_ms: float
    governors: dict[str, dict[str, Stability]]
    hidden_steps: dict[str, dict[str, list[float]]]
    halved: dict[str, list[float]]
    costs: list[PaceCost]
    thieves: ThievesResult | None
    neighbour: NeighbourResult | None
    missing: list[str]


def measure(
    path: Path,
    effort: Effort,
    *,
    cpu: int,
    peers: bool,
    seed: int,
    progress: Callable[[float], object],
) -> ModelStability:
    """Measure one model on one CPU.

    Args:
        path: the model file.
        effort: how much to measure.
        cpu: where everything that is timed runs.
        peers: measure ONNX Runtime too.
        seed: of everything random in virtual time.
        progress: is told which part of the work is done.
    """
    network, found = calibrated(path, cpu, peers=peers)
    entrants = scenarios.contestants(network, found)
    target_ms = network.model.reference_ms[0]
    adaptive = entrants[0]
    governors = {}
    for done, entrant in enumerate(entrants):
        progress(VIRTUAL_PART * done / len(entrants))
        governors[entrant.name] = scenarios.across_governors(
            entrant, target_ms, effort.requests, seed
        )
    hidden = {
        step: {
            entrant.name: _medians(
                scenarios.after_hidden_step(entrant, target_ms, change, effort.step_trials, seed)
            )
            for entrant in entrants
        }
        for step, change in scenarios.hidden_steps(target_ms).items()
    }
    halved = {
        name: scenarios.halved_in_flight(adaptive, target_ms, effort.trials, seed, replan=replan)
        for name, replan in (("re-planned", True), ("as planned", False))
    }
    with pinned({cpu}):
        levels = (0, len(network.cycles) - 1)
        costs = [pace_cost(path, level=level, seconds=COST_SECONDS) for level in levels]
    missing: list[str] = []
    thieves = _or_missing(
        missing,
        lambda: under_thieves(
            path,
            cpu=cpu,
            rounds=effort.rounds,
            others=effort.others,
            peers=peers,
            progress=lambda part: progress(VIRTUAL_PART + (1.0 - VIRTUAL_PART) * part * 2 / 3),
        ),
    )
    neighbour = _or_missing(
        missing,
        lambda: beside_neighbour(
            path,
            cpu=cpu,
            turns=effort.turns,
            peers=peers,
            progress=lambda part: progress(1.0 - (1.0 - VIRTUAL_PART) * (1.0 - part) / 3),
        ),
    )
    return ModelStability(
        str(path), target_ms, governors, hidden, halved, costs, thieves, neighbour, missing
    )


def calibrated(
    path: Path, cpu: int, *, peers: bool
) -> tuple[VirtualNetwork, list[tuple[str, float]]]:
    """Return the network with the times it takes here and now, and the ms that peers take."""
    with (
        tempfile.TemporaryDirectory() as cache,
        pinned({cpu}),
        open_field(path, Path(cache), peers=peers) as field,
    ):
        model = field.adaptive.calibration
        assert model is not None
        network = VirtualNetwork.from_calibration(
            model.reference_ms,
            model.layer_shares,
            scenarios.full_khz(),
            scenarios.MEMORY_SHARE,
            [layer["parts"] for layer in field.adaptive.layers],
        )
        others = field.subjects[POLICIES:]
        return network, [
            (f"{subject.name} (its time here)", _median_ms(subject) / field.batch)
            for subject in others
        ]


def _median_ms(subject: Subject) -> float:
    return median(request.latency_ms for request in subject.requests(PEER_SECONDS))


def _medians(trials: Sequence[Sequence[float]]) -> list[float]:
    return [median(values) for values in zip(*trials, strict=True)]


def _or_missing(missing: list[str], measurement: Callable[[], ResultT]) -> ResultT | None:
    """Return what a measurement says, or note why this machine can't make it."""
    try:
        return measurement()
    except (PermissionError, FileNotFoundError) as error:
        missing.append(str(error))
        return None
