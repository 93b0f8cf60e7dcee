# SPDX-License-Identifier: Apache-2.0
"""Sensing clocks and choosing the pruning level that follows them.

Sensors (registry.py and drivers/) give samples, a sampler keeps the newest one, a residual learns
what no sensor shows, a policy turns predicted latencies into a plan with a reason. See
docs/governors.md. Frequencies are kHz. This package imports neither aio.runtime nor aio.models,
and changes a setting of the machine only where `settings` is asked to.
"""

from aio.governors.base import (
    Capability,
    ClockSample,
    DeviceSample,
    EnergySample,
    GpuSample,
    PolicySample,
    PowerSample,
    PowerSource,
    QuotaSample,
    SensorSource,
    Status,
    ThermalSample,
)
from aio.governors.plan import LayerShares, Plan, densest_within
from aio.governors.policies import (
    AdaptivePolicy,
    Decision,
    FixedPolicy,
    Outlook,
    RatioPolicy,
    TablePolicy,
)
from aio.governors.registry import open_sensors
from aio.governors.residual import Conditions, PredictionError, Residual
from aio.governors.sampler import Sampler
from aio.governors.sensors import DeviceSensors
from aio.governors.threads import ThreadBudget, default_threads

__all__ = [
    "AdaptivePolicy",
    "Capability",
    "ClockSample",
    "Conditions",
    "Decision",
    "DeviceSample",
    "DeviceSensors",
    "EnergySample",
    "FixedPolicy",
    "GpuSample",
    "LayerShares",
    "Outlook",
    "Plan",
    "PolicySample",
    "PowerSample",
    "PowerSource",
    "PredictionError",
    "QuotaSample",
    "RatioPolicy",
    "Residual",
    "Sampler",
    "SensorSource",
    "Status",
    "TablePolicy",
    "ThermalSample",
    "ThreadBudget",
    "default_threads",
    "densest_within",
    "open_sensors",
]
