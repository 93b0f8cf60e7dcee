# SPDX-License-Identifier: Apache-2.0
"""Metrics read back by Prometheus' own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from aio.runtime.serve.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Return every sample by name and labels, such as "aio_active_level|model=m".

    A sample that comes twice, which Prometheus would refuse, fails.
    """
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            labels = (f"{key}={value}" for key, value in sorted(sample.labels.items()))
            name = "|".join((sample.name, *labels))
            assert name not in found
            found[name] = sample.value
    return found
