# SPDX-License-Identifier: Apache-2.0
"""What changed from one profile to another, as far as it is more than noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# What must be the same for two profiles to tell of a change of the program.
CONDITIONS = ("emulated", "batch", "model", "effort")
MACHINE = ("cpu", "kernel", "clock_driver", "boost", "nvpmodel", "power_source", "quota_cpus")


@dataclass(frozen=True, slots=True)
class Change:
    """A subject at a point in both profiles, in ms. `certain` when the medians' intervals part."""

    point: str
    subject: str
    p50_ms: tuple[float, float]
    p99_ms: tuple[float, float]
    cv: tuple[float, float]
    certain: bool


@dataclass(frozen=True, slots=True)
class Differences:
    """What both measured, what only one did, and conditions that differ as `name: A, B`."""

    changes: tuple[Change, ...]
    only: tuple[str, ...]
    conditions: tuple[str, ...]


def differences(before: dict[str, Any], after: dict[str, Any]) -> Differences:
    """Compare two documents.

    Raises:
        ValueError: a document lacks what every profile has, or they have nothing in common.
    """
    try:
        first, second = dict(_entries(before)), dict(_entries(after))
        changes = tuple(_change(key, first[key], second[key]) for key in first if key in second)
        conditions = tuple(_conditions(before, after))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"a profile is damaged: {error!r} where its figures should be") from error
    if not changes:
        raise ValueError(f"nothing to compare: A has {_keys(first)}; B has {_keys(second)}")
    only = [f"only in A: {_words(key)}" for key in first if key not in second]
    only += [f"only in B: {_words(key)}" for key in second if key not in first]
    return Differences(changes, tuple(only), conditions)


def _entries(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for point in document["points"]:
        for subject, figures in point["figures"].items():
            yield (point["label"], subject), figures["latency"]


def _change(key: tuple[str, str], a: dict[str, Any], b: dict[str, Any]) -> Change:
    apart = a["p50_high_ms"] < b["p50_low_ms"] or b["p50_high_ms"] < a["p50_low_ms"]
    return Change(
        *key,
        p50_ms=(float(a["p50_ms"]), float(b["p50_ms"])),
        p99_ms=(float(a["p99_ms"]), float(b["p99_ms"])),
        cv=(float(a["cv"]), float(b["cv"])),
        certain=bool(apart),
    )


def _conditions(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name in CONDITIONS:
        if before[name] != after[name]:
            yield f"{name}: {before[name]}, {after[name]}"
    for name in MACHINE:
        a, b = before["environment"].get(name), after["environment"].get(name)
        if a != b:
            yield f"{name}: {a}, {b}"
    versions = before["environment"]["versions"], after["environment"]["versions"]
    for name in versions[0]:
        if versions[0][name] != versions[1].get(name):
            yield f"{name}: {versions[0][name]}, {versions[1].get(name)}"


def _keys(entries: dict[tuple[str, str], dict[str, Any]]) -> str:
    return ", ".join(map(_words, entries)) or "nothing"


def _words(key: tuple[str, str]) -> str:
    return f"{key[1]} at {key[0]}"
