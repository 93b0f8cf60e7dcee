# SPDX-License-Identifier: Apache-2.0
"""What happens to a device in virtual time, and how each contestant takes it.

The device is a Jetson Orin Nano whose ladder is restricted to a 3x span, so that every model has a
level for every clock. Everything is deterministic: same seed, same figures.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aio.governors import AdaptivePolicy, FixedPolicy, RatioPolicy, TablePolicy
from aio.governors.devices import ladder, load_device
from aio.governors.emulation import Change, VirtualDevice, governor_names
from aio.runtime.benchmark.stability.figures import Request, Stability, stability
from aio.runtime.benchmark.stability.virtual import VirtualNetwork, VirtualRuntime

BOARD = "jetson-orin-nano"
SPAN = 3.0
MEMORY_SHARE = 0.1  # of the time at full clock; what the clock leaves alone
NOISE = 0.03
# How long clocks (under userspace) and pauses stay: in targets, but never below the time that
# sensors need to notice.
CLOCK_TARGETS, MIN_CLOCK_NS = 20, 100_000_000
PHASE_TARGETS, MIN_PHASE_NS = 80, 200_000_000
# Pause after a request as a part of the target: none, half a camera's, more than busy.
PAUSES = (0.0, 0.4, 1.2)
AFTER_STEP = 12  # requests looked at after a hidden step


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who is compared: a policy and what it runs."""

    name: str
    network: VirtualNetwork
    policy: Callable[[], RatioPolicy]


def contestants(
    network: VirtualNetwork, peers: Sequence[tuple[str, float]] = ()
) -> list[Contestant]:
    """Return the policies over one network, and peers by the ms they take at full clock."""
    sparsest = len(network.cycles) - 1
    found = [
        Contestant("adaptive", network, AdaptivePolicy),
        Contestant("table", network, TablePolicy),
        Contestant("fixed densest", network, lambda: FixedPolicy(0)),
        Contestant("fixed sparsest", network, lambda: FixedPolicy(sparsest)),
    ]
    for name, takes_ms in peers:
        dense = VirtualNetwork.from_calibration([takes_ms], [[1.0]], full_khz(), MEMORY_SHARE)
        found.append(Contestant(name, dense, lambda: FixedPolicy(0)))
    return found


def hidden_steps(target_ms: float) -> dict[str, Change]:
    """Return what no sensor shows, in words.

    A quota stops everything for half of its period. Only where the period is much shorter than an
    inference does that look like a slower device. The kernel takes no quota below 1 ms, so 2 ms is
    the shortest period here; 100 ms is the usual one.
    """
    short_us = max(2_000, round(target_ms * 1e3 / 20))
    return {
        "firmware cap of 50 %": Change(hidden_cap=0.5),
        f"quota of 50 %, period {short_us / 1e3:.1f} ms": Change(
            quota_cpus=0.5, quota_period_us=short_us
        ),
        "quota of 50 %, period 100 ms": Change(quota_cpus=0.5, quota_period_us=100_000),
    }


def full_khz() -> int:
    """Return the full clock of the simulated device."""
    return ladder(load_device(BOARD)).max_khz


def across_governors(
    contestant: Contestant, target_ms: float, requests: int, seed: int
) -> dict[str, Stability]:
    """Return the figures under every cpufreq governor."""
    return {
        governor: stability(
            _under_governor(contestant, governor, target_ms, requests, seed), target_ms
        )
        for governor in governor_names()
    }


def _under_governor(
    contestant: Contestant, governor: str, target_ms: float, requests: int, seed: int
) -> list[Request]:
    """Run requests; every while their pauses change, or the clock under userspace."""
    generator = random.Random(seed)
    runtime = make_runtime(contestant, target_ms, governor=governor, seed=seed)
    device = runtime.device
    freqs = device.hardware.freqs_khz
    clock_ns = max(round(CLOCK_TARGETS * target_ms * 1e6), MIN_CLOCK_NS)
    phase_ns = max(round(PHASE_TARGETS * target_ms * 1e6), MIN_PHASE_NS)
    next_ns, pause = 0, 0.0
    found = []
    for _ in range(requests):
        if device.now_ns >= next_ns:
            if governor == "userspace":
                device.set_speed(generator.choice(freqs) / device.hardware.max_khz)
                next_ns, pause = device.now_ns + clock_ns, 0.4
            else:
                next_ns, pause = device.now_ns + phase_ns, generator.choice(PAUSES)
        found.append(runtime.request())
        runtime.sleep(round(pause * target_ms * 1e6 * generator.uniform(0.8, 1.2)))
    return found


def after_hidden_step(
    contestant: Contestant, target_ms: float, change: Change, trials: int, seed: int
) -> list[list[float]]:
    """Return latency over target of the requests after a change that no sensor shows.

    One list per trial, each on a device of its own that ran undisturbed before.
    """
    found = []
    for trial in range(trials):
        runtime = make_runtime(contestant, target_ms, governor="performance", seed=seed + trial)
        for _ in range(50):
            runtime.request()
        runtime.device.apply(change)
        found.append([runtime.request().latency_ms / target_ms for _ in range(AFTER_STEP)])
    return found


def halved_in_flight(
    contestant: Contestant, target_ms: float, trials: int, seed: int, *, replan: bool
) -> list[float]:
    """Return latency over target of requests in which, at a random layer, the clock halves."""
    generator = random.Random(seed)
    runtime = make_runtime(contestant, target_ms, governor="userspace", seed=seed, replan=replan)
    layers = len(contestant.network.parts)
    found = []
    for _ in range(trials):
        runtime.device.set_speed(1.0)
        for _ in range(3):
            runtime.sleep(10_000_000)
            runtime.request()
        request = runtime.request(halve_after_layer=generator.uniform(0.0, layers))
        found.append(request.latency_ms / target_ms)
    return found


def make_runtime(
    contestant: Contestant, target_ms: float, *, governor: str, seed: int, replan: bool = True
) -> VirtualRuntime:
    """Return a contestant on a fresh device."""
    board = load_device(BOARD)
    device = VirtualDevice(board, governor=governor, freqs=ladder(board).span(SPAN), seed=seed)
    return VirtualRuntime(
        device,
        contestant.network,
        contestant.policy(),
        target_ms,
        noise=NOISE,
        seed=seed,
        replan=replan,
    )
