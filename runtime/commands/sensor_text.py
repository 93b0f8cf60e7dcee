# SPDX-License-Identifier: Apache-2.0
"""The report of the sensors (aio.governors.report) in words, as `aio doctor` prints it."""

from typing import Any

from aio.runtime.printing import MISSING, megahertz, number, text_table


def readings(machine: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the sensors say now; a quantity that no driver knows has no line."""
    sample, threads = machine["sample"], machine["threads"]
    clock = sample["clock"]
    quota = number(threads["quota_cpus"], ".2f")
    lines = [
        ("threads", threads["reason"]),
        ("cgroup quota", "none" if threads["quota_cpus"] is None else f"{quota} CPUs"),
        (
            "CPU clock",
            f"{megahertz(clock['cpu_khz'])} of {megahertz(clock['max_khz'])}, "
            f"from {clock['driver']}",
        ),
    ]
    lines += [("GPU", _gpu(gpu)) for gpu in sample["gpus"]]
    if sample["thermal"] is not None:
        lines.append(("heat", _heat(sample["thermal"])))
    if sample["power"] is not None:
        lines.append(("power source", _source(sample["power"])))
    if sample["energy"] is not None:
        lines.append(("power", _power(sample["energy"])))
    lines.append(("sensor cost", _cost(machine["cost"])))
    return lines


def _cost(cost: dict[str, Any]) -> str:
    share = number(cost["core_fraction_at_50_hz"], ".2%")
    return f"{number(cost['us_per_sample'], '.0f')} us per sample, {share} of a core at 50 Hz"


def _source(power: dict[str, Any]) -> str:
    source = {"ac": "plugged in", "battery": "on battery", None: "unknown"}[power["source"]]
    return f"{source}, charge {number(power['battery'], '.0%')}"


def _gpu(gpu: dict[str, Any]) -> str:
    clock, top = megahertz(gpu["cur_freq_khz"]), megahertz(gpu["max_freq_khz"])
    parts = [f"{gpu['device']}: {clock} of {top}"]
    if gpu["load"] is not None:
        parts.append(f"load {gpu['load']:.0%}")
    if gpu["power_mw"] is not None:
        parts.append(_watts(gpu["power_mw"]))
    if gpu["temperature_mc"] is not None:
        parts.append(_celsius(gpu["temperature_mc"]))
    if gpu["throttle_reasons"]:
        parts.append(f"held down by {' and '.join(gpu['throttle_reasons'])}")
    return ", ".join(parts)


def _heat(thermal: dict[str, Any]) -> str:
    known = [zone["temperature_mc"] for zone in thermal["zones"]]
    hottest = max((value for value in known if value is not None), default=None)
    words = {True: "throttled", False: "not throttled", None: "throttling unknown"}
    verdict = words[thermal["throttled"]]
    return f"hottest of {len(thermal['zones'])} zones {_celsius(hottest)}, {verdict}"


def _power(energy: dict[str, Any]) -> str:
    powers = {rail["name"]: rail["power_mw"] for rail in energy["rails"]}
    return f"{_watts(powers.get(energy['total']))}, {energy['total'] or 'no rail for all of it'}"


def _watts(milliwatts: float | None) -> str:
    return MISSING if milliwatts is None else f"{milliwatts / 1000:.2f} W"


def _celsius(millidegrees: int | None) -> str:
    return MISSING if millidegrees is None else f"{millidegrees / 1000:.0f} C"


def capability_table(capabilities: list[dict[str, Any]]) -> str:
    """Return what every driver of every quantity said."""
    header = ["quantity", "driver", "status", "age", "reason"]
    rows = [
        [
            item["quantity"],
            item["driver"],
            item["status"],
            MISSING if item["age_s"] is None else f"{item['age_s']:.2f} s",
            item["reason"],
        ]
        for item in capabilities
    ]
    return text_table(header, rows, left=len(header))


def policy_table(policies: list[dict[str, Any]]) -> str:
    """Return all policies of cpufreq."""
    header = ["cpufreq policy", "CPUs", "now", "min", "max", "limit", "governor", "driver", "EPP"]
    rows = [
        [
            policy["name"],
            ",".join(str(cpu) for cpu in policy["cpus"]) or "offline",
            megahertz(policy["cur_freq_khz"]),
            megahertz(policy["min_freq_khz"]),
            megahertz(policy["max_freq_khz"]),
            megahertz(policy["scaling_max_freq_khz"]),
            policy["governor"] or MISSING,
            policy["driver"] or MISSING,
            policy["epp"] or MISSING,
        ]
        for policy in policies
    ]
    return text_table(header, rows)
