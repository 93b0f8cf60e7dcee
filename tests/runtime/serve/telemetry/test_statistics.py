# SPDX-License-Identifier: Apache-2.0
"""Counts of one model as Triton's statistics extension has them."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from fake_engine import record

from aio.runtime.serve.telemetry.statistics import (
    BUCKETS_S,
    Duration,
    Histogram,
    ModelStatistics,
    Served,
)


def test_nothing_has_happened() -> None:
    found = ModelStatistics().as_dict()
    assert (found["inference_count"], found["execution_count"]) == (0, 0)
    assert found["batch_stats"] == []
    assert json.dumps(found)


def test_parts_add_up_to_the_whole() -> None:
    before_ms = time.time_ns() // 1_000_000
    statistics = ModelStatistics()
    statistics.served(Served(record(), "governor", 2, 10.0, 20.0, 30.0, 40.0))
    statistics.failed("REJECTED", 7)
    found = statistics.as_dict()
    assert found["inference_stats"] == {
        "success": {"count": 1, "ns": 100},
        "fail": {"count": 1, "ns": 7},
        "queue": {"count": 1, "ns": 20},
        "compute_input": {"count": 1, "ns": 10},
        "compute_infer": {"count": 1, "ns": 30},
        "compute_output": {"count": 1, "ns": 40},
        "cache_hit": {"count": 0, "ns": 0},
        "cache_miss": {"count": 0, "ns": 0},
    }
    assert (found["inference_count"], found["execution_count"]) == (2, 1)
    assert before_ms <= statistics.last_inference_ms <= time.time_ns() // 1_000_000


def test_what_ran_for_nothing_is_an_execution_and_a_failure() -> None:
    statistics = ModelStatistics()
    statistics.wasted(Served(record(), "governor", 2, 10.0, 20.0, 30.0, 40.0), "OTHER")
    statistics.wasted(Served(record(), "governor", 2, 1.0, 1.0, 1.0, 1.0, leads=False), "OTHER")
    assert (statistics.success.count, statistics.inference_count) == (0, 0)
    assert (statistics.fail.count, statistics.fail.ns) == (2, 104)
    assert statistics.failures == {"OTHER": 2}
    assert statistics.execution_count == 1


def test_a_merged_run_is_one_execution_of_its_whole_batch() -> None:
    statistics = ModelStatistics()
    how = record()._replace(batch=3)
    statistics.served(Served(how, "governor", 1, 10.0, 20.0, 30.0, 40.0))
    statistics.served(Served(how, "governor", 2, 10.0, 20.0, 30.0, 40.0, leads=False))
    found = statistics.as_dict()
    assert (found["inference_count"], found["execution_count"]) == (3, 1)
    assert statistics.success.count == 2
    assert found["batch_stats"] == [
        {
            "batch_size": 3,
            "compute_input": {"count": 1, "ns": 10},
            "compute_infer": {"count": 1, "ns": 30},
            "compute_output": {"count": 1, "ns": 40},
        }
    ]


def test_no_duration_is_negative() -> None:
    duration = Duration()
    duration.add(-5.0)
    duration.add(2.6)
    assert duration.as_dict() == {"count": 2, "ns": 3}


def test_every_duration_is_in_one_bucket() -> None:
    histogram = Histogram()
    durations = (0.0, *BUCKETS_S, 1e9)
    for duration_s in durations:
        histogram.add(duration_s)
    assert sum(histogram.counts) == len(durations)
    assert histogram.counts[0] == 2  # a bound belongs to its bucket
    assert histogram.counts[-1] == 1
    assert histogram.sum_s == pytest.approx(sum(durations))
    assert all(low < high for low, high in pairwise(BUCKETS_S))
