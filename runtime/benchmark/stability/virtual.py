# SPDX-License-Identifier: Apache-2.0
"""A runtime on a simulated device: the real chooser and pace, with layers that only take time."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aio.governors import DeviceSample, RatioPolicy
from aio.governors.emulation import VirtualDevice
from aio.runtime import _native
from aio.runtime.benchmark.stability.figures import Request
from aio.runtime.chooser import PlanChooser, Targets
from aio.runtime.latency_model import LatencyModel

SAMPLE_PERIOD_NS = 20_000_000
OVERHEAD_NS = 10_000  # of a call beside the executor


@dataclass(frozen=True)
class VirtualNetwork:
    """What every part of every layer costs on the simulated device: levels x parts.

    `parts` says how many each layer has. `model` is what its calibration at full clock said: it
    knows of no time that the clock leaves alone, because no other clock was seen.
    """

    cycles: NDArray[np.float64]
    fixed_ns: NDArray[np.float64]
    parts: tuple[int, ...]
    model: LatencyModel

    @classmethod
    def from_calibration(
        cls,
        level_ms: Sequence[float],
        shares: Sequence[Sequence[float]],
        khz: int,
        memory: float,
        parts: Sequence[int] | None = None,
    ) -> "VirtualNetwork":
        """Return a network with measured times as its times at full clock.

        Args:
            level_ms: how long each level takes.
            shares: levels x layers, the part of each layer.
            khz: the full clock of the simulated device.
            memory: the part of the time at full clock that does not depend on the clock.
            parts: of every layer; None is one each.
        """
        counts = (1,) * len(shares[0]) if parts is None else tuple(parts)
        times_ms = in_parts(np.asarray(shares) * np.asarray(level_ms)[:, None], counts)
        return cls(
            cycles=(1.0 - memory) * times_ms * khz,
            fixed_ns=memory * times_ms * 1e6,
            parts=counts,
            model=LatencyModel(
                tuple(level_ms),
                tuple(takes_ms * khz for takes_ms in level_ms),
                (0.0,) * len(level_ms),
                tuple(tuple(row) for row in shares),
            ),
        )

    def level_ns(self, level: int, khz: float) -> float:
        """Return how long a level takes at a constant clock."""
        return float(np.sum(self.cycles[level]) * 1e6 / khz + np.sum(self.fixed_ns[level]))


def in_parts(costs: NDArray[np.float64], parts: Sequence[int]) -> NDArray[np.float64]:
    """Return costs of levels x layers shared out among parts, as the executor does."""
    return np.repeat(costs / np.array(parts), parts, axis=1)


class VirtualSampler:
    """Samples as a Sampler's thread would have taken them."""

    def __init__(self, device: VirtualDevice) -> None:
        self._device = device
        self._latest = device.sample()

    def tick(self) -> None:
        """Take a sample if one is due."""
        if self._device.now_ns - self._latest.time_ns >= SAMPLE_PERIOD_NS:
            self._latest = self._device.sample()

    def latest(self) -> DeviceSample:
        """Return the newest sample."""
        return self._latest

    def fresh(self, max_age_s: float) -> DeviceSample:
        """Return a sample not older than that."""
        if self._device.now_ns - self._latest.time_ns > max_age_s * 1e9:
            self._latest = self._device.sample()
        return self._latest

    def touch(self) -> None:
        """Do nothing: the simulated thread never slows down."""


class VirtualRuntime:
    """Runs requests on a simulated device.

    Args:
        device: where time passes.
        network: what runs.
        policy: what decides.
        target_ms: the latency to hold.
        noise: standard deviation of the logarithm of a request's time.
        seed: of the noise.
        replan: whether plans may change on the way.
    """

    def __init__(
        self,
        device: VirtualDevice,
        network: VirtualNetwork,
        policy: RatioPolicy,
        target_ms: float,
        *,
        noise: float = 0.03,
        seed: int = 0,
        replan: bool = True,
    ) -> None:
        self.device = device
        self._network = network
        self._sampler = VirtualSampler(device)
        self._levels = len(network.cycles)
        self.chooser = PlanChooser(
            self._sampler,
            network.model,
            policy,
            tuple(range(self._levels)),
            Targets(target_ms),
            replan=replan,
        )
        # Where each unit lies, in layers.
        self._places = [
            (layer + part / count, layer + (part + 1) / count)
            for layer, count in enumerate(network.parts)
            for part in range(count)
        ]
        self._random = random.Random(seed)
        self._noise = noise
        self._costs: NDArray[np.float64] | None = None
        self._pace = _native.Pace(network.cycles, list(range(self._levels)))
        self.replans = 0
        self._seen_khz = device.shown_khz
        self._clock_changes = 0

    def sleep(self, duration_ns: int) -> None:
        """Let time pass without a request."""
        self.device.sleep(duration_ns)
        self._tick()

    def _tick(self) -> None:
        """Do what happens beside the request meanwhile."""
        self._sampler.tick()
        khz = self.device.shown_khz
        self._clock_changes += khz != self._seen_khz
        self._seen_khz = khz

    def request(self, *, halve_after_layer: float | None = None) -> Request:
        """Run one request.

        Args:
            halve_after_layer: the clock is halved when this many layers are done, for example
                4.5 in the middle of the fifth.
        """
        device, network = self.device, self._network
        choice = self.chooser.for_target(device.now_ns)
        if choice.costs_ns is not None and choice.costs_ns is not self._costs:
            self._costs = choice.costs_ns
            units = in_parts(self._costs, network.parts)
            self._pace = _native.Pace(units, list(self.chooser.allowed))
        khz, begin_ns = device.shown_khz, device.now_ns
        self._pace.begin(
            np.repeat(choice.plan.levels(len(network.parts)), network.parts).tolist(),
            budget_ns=choice.budget_ms * 1e6,
            slowdown=choice.slowdown,
            replan=choice.replan,
        )
        factor = math.exp(self._random.gauss(0.0, self._noise))
        for unit, (begin, end) in enumerate(self._places):
            level = self._pace.next(device.now_ns - begin_ns)
            cycles = network.cycles[level, unit] * factor
            fixed_ns = network.fixed_ns[level, unit] * factor
            if halve_after_layer is not None and begin <= halve_after_layer < end:
                done = (halve_after_layer - begin) / (end - begin)
                device.run(cycles * done, fixed_ns * done)
                device.set_speed(0.5)
                cycles, fixed_ns = cycles * (1.0 - done), fixed_ns * (1.0 - done)
            device.run(cycles, fixed_ns)
            self._tick()
        elapsed_ns = device.now_ns - begin_ns
        device.run(0.0, OVERHEAD_NS)
        self.chooser.observe(
            choice,
            elapsed_ns=elapsed_ns,
            expected_ns=self._pace.expected_ns,
            overhead_ns=OVERHEAD_NS,
            now_ns=device.now_ns,
        )
        self.replans += self._pace.replans
        sparsest_ms = network.level_ns(self._levels - 1, min(khz, device.actual_khz)) / 1e6
        clock_changes, self._clock_changes = self._clock_changes, 0
        return Request(
            latency_ms=(device.now_ns - begin_ns) / 1e6,
            cpu_khz=khz,
            plan=choice.plan,
            clock_changes=clock_changes,
            feasible=sparsest_ms <= choice.target_ms,
        )
