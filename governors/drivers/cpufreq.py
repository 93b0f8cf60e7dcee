# SPDX-License-Identifier: Apache-2.0
"""CPU clock through the kernel's cpufreq policies, in kHz.

A policy is one or more CPUs with a common clock; its number is not a CPU number. Only policies
that govern CPUs this process may use count, and of several kinds of cores only the fastest. The
clock is that of the slowest core working, because threads that share a layer wait for it.

Only `scaling_cur_freq` is polled. `cpuinfo_cur_freq` is never read: on Tegra it busy-waits 0.5 ms
on the very core that is being timed. Policies come and go with CPU hotplug, so the folder is
scanned again every second, and at once when a reading fails.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from aio.governors.base import CPU_CLOCK, Capability, ClockSample, PolicySample, Status
from aio.governors.parsing import parse_cpus, parse_khz, parse_khz_list, parse_word
from aio.governors.sysfs import Sysfs, explain
from aio.governors.topology import CoreClass, allowed_cpus, fastest_class, policy_names

SCAN_PERIOD_NS = 1_000_000_000
FACTS_PERIOD_NS = 10_000_000_000  # what hotplug does not change: range, list, preferences
SCAN_LOAD = 0.01  # a scan may use this part of a core; matters with a policy per CPU and 100 CPUs
GRACE_NS = 100_000_000  # how long the last good value stands in for a missing one


class Policy:
    """One policy folder: slow facts re-read by `refresh`, the clock by `read_khz`."""

    def __init__(self, sysfs: Sysfs, name: str) -> None:
        self.name = name
        self.cpus: tuple[int, ...] | None = None  # None: the kernel does not say
        self.problem: str | None = None
        self._sysfs = sysfs
        self._folder: Path = sysfs.cpu / "cpufreq" / name
        self._clock = sysfs.hot(self._folder / "scaling_cur_freq")
        self._text = ""
        self._facts = PolicySample(name, (), None, None, None, None, None, None)
        self._facts_due_ns = 0
        self._good_khz: int | None = None
        self._good_ns = 0

    def refresh(self, now_ns: int) -> None:
        """Look at the CPUs and limits again; afterwards `problem` says why it can't be used."""
        cpus, self.problem = self._online_cpus()
        if cpus != self.cpus or now_ns >= self._facts_due_ns:
            self.cpus, self._facts_due_ns = cpus, now_ns + FACTS_PERIOD_NS
            self._facts = self._read_facts()
        else:
            self._facts = dataclasses.replace(
                self._facts,
                scaling_max_freq_khz=self._khz("scaling_max_freq"),
                governor=self._word("scaling_governor"),
            )
        if self.problem is None:
            self.read_khz(now_ns)

    def read_khz(self, now_ns: int) -> int | None:
        """Return the clock, for a moment also the last good one; else None and set `problem`."""
        try:
            text = self._clock.read()
        except OSError as error:
            khz, reason = None, explain(error)
        else:
            # The same string as before means that nothing changed: see HotFile.
            khz = self._good_khz if text is self._text else parse_khz(text)
            reason = f"{text.strip()[:24]!r} is no frequency in kHz"
            self._text = text if khz is not None else ""
        if khz is not None:
            self._good_khz, self._good_ns, self.problem = khz, now_ns, None
        elif self._good_khz is None or now_ns - self._good_ns > GRACE_NS:
            self._good_khz = None
            self.problem = f"{self.name}/scaling_cur_freq: {reason}"
        return self._good_khz

    def sample(self, khz: int | None) -> PolicySample:
        """Return the facts of the last refresh with the clock `khz`."""
        return dataclasses.replace(self._facts, cur_freq_khz=khz)

    def top_khz(self) -> int | None:
        """Return the clock at full speed, from the best source there is."""
        listed = self._facts.available_khz[-1] if self._facts.available_khz else None
        return self._facts.max_freq_khz or listed or self._facts.scaling_max_freq_khz

    def close(self) -> None:
        """Free the descriptor."""
        self._clock.close()

    def _online_cpus(self) -> tuple[tuple[int, ...] | None, str | None]:
        try:
            text = self._sysfs.read(self._folder / "affected_cpus")
        except FileNotFoundError:
            return parse_cpus(self._read("related_cpus")), None
        except OSError as error:
            # EBUSY: the kernel's answer for a policy whose CPUs are all offline.
            return (), f"{self.name}/affected_cpus: {explain(error)}"
        cpus = parse_cpus(text)
        return cpus, f"{self.name}: its CPUs are offline" if cpus == () else None

    def _read_facts(self) -> PolicySample:
        return PolicySample(
            name=self.name,
            cpus=self.cpus or (),
            cur_freq_khz=None,
            min_freq_khz=self._khz("cpuinfo_min_freq"),
            max_freq_khz=self._khz("cpuinfo_max_freq"),
            scaling_max_freq_khz=self._khz("scaling_max_freq"),
            governor=self._word("scaling_governor"),
            driver=self._word("scaling_driver"),
            available_khz=parse_khz_list(self._read("scaling_available_frequencies")),
            scaling_min_freq_khz=self._khz("scaling_min_freq"),
            bios_limit_khz=self._khz("bios_limit"),
            epp=self._word("energy_performance_preference"),
        )

    def _read(self, name: str) -> str | None:
        return self._sysfs.read_optional(self._folder / name)

    def _khz(self, name: str) -> int | None:
        return parse_khz(self._read(name))

    def _word(self, name: str) -> str | None:
        return parse_word(self._read(name))


class CpufreqDriver:
    """The clock of the policies this process runs on.

    Args:
        sysfs: the files to read.
        threads: how many cores work at once; None means all. With a policy per CPU the idle cores
            stand at their lowest clock, and only the `threads` fastest ones can be the busy ones.
        cpus: the CPUs this process may use.
    """

    name = "cpufreq"

    def __init__(
        self,
        sysfs: Sysfs,
        *,
        threads: int | None = None,
        cpus: Callable[[], frozenset[int]] = allowed_cpus,
    ) -> None:
        self._sysfs = sysfs
        self._threads = threads
        self._cpus = cpus
        self._known: dict[str, Policy] = {}
        self._chosen: list[Policy] = []
        self._weights: dict[str, int] = {}
        self._note = ""
        self._basis: tuple[object, ...] = ()
        self._choice_due_ns = 0
        self._max_khz: int | None = None
        # What follows from the readings of the chosen policies, until one of them changes.
        self._readings: list[int | None] | None = None
        self._policies: tuple[PolicySample, ...] = ()
        self._khz: int | None = None
        self._next_scan_ns = 0
        self._closed = False

    def probe(self) -> Capability:
        """Scan the policies and say what was found."""
        self._scan(time.monotonic_ns())
        if self._chosen:
            return Capability(self.name, CPU_CLOCK, Status.VALUE, self._note)
        status, reason = self._absence()
        return Capability(self.name, CPU_CLOCK, status, reason)

    def read(self) -> ClockSample:
        """Return the clock of the slowest working core."""
        now_ns = time.monotonic_ns()
        if self._closed:
            return ClockSample(now_ns, None, None, self.name, (), "the driver is closed")
        if now_ns >= self._next_scan_ns:
            self._scan(now_ns)
        readings = self._read_chosen(now_ns)
        if not readings or None in readings:
            self._scan(now_ns)
            readings = self._read_chosen(now_ns)
        if readings != self._readings:
            pairs = list(zip(self._chosen, readings, strict=True))
            self._readings = readings
            self._policies = tuple(policy.sample(khz) for policy, khz in pairs)
            self._khz = self._barrier_khz((policy.name, khz) for policy, khz in pairs)
        error = self._absence()[1] if self._khz is None else None
        return ClockSample(now_ns, self._khz, self._max_khz, self.name, self._policies, error)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        for policy in self._known.values():
            policy.close()
        self._known.clear()
        self._chosen, self._basis = [], ()

    def _read_chosen(self, now_ns: int) -> list[int | None]:
        return [policy.read_khz(now_ns) for policy in self._chosen]

    def _scan(self, now_ns: int) -> None:
        """List the policies again, re-read their facts and choose among them."""
        begin_ns = time.thread_time_ns()
        self._known = refreshed(self._sysfs, self._known, now_ns)
        usable = [policy for policy in self._known.values() if policy.problem is None]
        allowed = self._cpus()
        # What the choice follows from; ranking the kinds of cores reads a file per CPU.
        basis = (allowed, *((policy, policy.cpus) for policy in usable))
        if basis != self._basis or now_ns >= self._choice_due_ns:
            self._basis, self._choice_due_ns = basis, now_ns + FACTS_PERIOD_NS
            self._chosen, self._weights, self._note = choose_policies(self._sysfs, usable, allowed)
        self._max_khz = self._barrier_khz((p.name, p.top_khz()) for p in self._chosen)
        self._readings = None
        cost_ns = time.thread_time_ns() - begin_ns
        self._next_scan_ns = now_ns + max(SCAN_PERIOD_NS, int(cost_ns / SCAN_LOAD))

    def _barrier_khz(self, readings: Iterable[tuple[str, int | None]]) -> int | None:
        """Return the lowest clock among the `threads` fastest CPUs, ignoring missing readings."""
        known = [(khz, self._weights[name]) for name, khz in readings if khz is not None]
        lowest, cpus = None, 0
        for khz, weight in sorted(known, reverse=True):
            if self._threads is not None and cpus >= self._threads:
                break
            lowest, cpus = khz, cpus + weight
        return lowest

    def _absence(self) -> tuple[Status, str]:
        """Say why no policy can be used."""
        problems = [policy.problem for policy in self._known.values() if policy.problem]
        if problems:
            return Status.ERROR, "; ".join(problems[:4])
        folder = self._sysfs.cpu / "cpufreq"
        try:
            self._sysfs.list(folder)
        except FileNotFoundError:
            return Status.UNSUPPORTED, f"{folder} does not exist"
        except OSError as error:
            return Status.ERROR, f"{folder}: {explain(error)}"
        return Status.UNSUPPORTED, f"{folder} is empty, as in most virtual machines"


def refreshed(sysfs: Sysfs, known: dict[str, Policy], now_ns: int) -> dict[str, Policy]:
    """Return the policies that exist now, taking over known ones and closing those that left."""
    names = policy_names(sysfs)
    for name in known.keys() - names:
        known[name].close()
    policies = {name: known.get(name) or Policy(sysfs, name) for name in names}
    for policy in policies.values():
        policy.refresh(now_ns)
    return policies


def choose_policies(
    sysfs: Sysfs, usable: Sequence[Policy], allowed: frozenset[int]
) -> tuple[list[Policy], dict[str, int], str]:
    """Return the policies to follow, how many usable CPUs each has, and the choice in words."""
    covering = [p for p in usable if p.cpus is None or allowed.intersection(p.cpus)]
    scope, note = allowed, ""
    if usable and not covering:
        covering = list(usable)
        scope = frozenset(cpu for p in usable for cpu in p.cpus or ())
        note = f"; none governs a CPU of this process ({_ranges(allowed)}), so all are followed"
    online = scope & {cpu for p in covering for cpu in p.cpus or ()}
    kind = fastest_class(sysfs, online)
    chosen = [p for p in covering if p.cpus is None or kind.cpus.intersection(p.cpus)]
    weights = {p.name: len(kind.cpus.intersection(p.cpus or ())) or 1 for p in chosen}
    return chosen, weights, _describe(chosen, kind) + note


def survey(sysfs: Sysfs) -> tuple[PolicySample, ...]:
    """Return a sample of every policy, also of those not followed, for reports."""
    now_ns = time.monotonic_ns()
    policies = refreshed(sysfs, {}, now_ns).values()
    samples = tuple(policy.sample(policy.read_khz(now_ns)) for policy in policies)
    for policy in policies:
        policy.close()
    return samples


def _describe(chosen: Sequence[Policy], kind: CoreClass) -> str:
    parts = []
    for policy in chosen[:4]:
        facts = policy.sample(None)
        low, top = (_mhz(khz) for khz in (facts.min_freq_khz, policy.top_khz()))
        cpus = _ranges(policy.cpus) if policy.cpus else "unknown CPUs"
        words = [word for word in (facts.driver, facts.governor) if word]
        parts.append(", ".join([f"{policy.name}: {cpus}", *words, f"{low} to {top} MHz"]))
    if len(chosen) > 4:
        parts.append(f"and {len(chosen) - 4} more")
    if kind.count > 1:
        parts.append(f"the fastest of {kind.count} kinds of cores by {kind.basis}")
    return "; ".join(parts)


def _mhz(khz: int | None) -> str:
    return "?" if khz is None else f"{khz / 1000:.0f}"


def _ranges(cpus: Iterable[int]) -> str:
    """Return e.g. "CPUs 0-3,6"."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return "CPUs " + ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
