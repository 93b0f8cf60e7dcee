# SPDX-License-Identifier: Apache-2.0
"""Sensing clocks and choosing the pruning level that follows them.

Sensors (registry.py and drivers/) give samples, a sampler keeps the newest one, a policy turns
predicted latencies into a level with a reason. See docs/governors.md. Frequencies are kHz. This
package only reads the machine; it imports neither aio.runtime nor aio.models.
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
from aio.governors.policy import Decision, FixedPolicy, LevelPolicy, RatioPolicy, densest_within
from aio.governors.registry import open_sensors
from aio.governors.sampler import Sampler
from aio.governors.sensors import DeviceSensors
from aio.governors.threads import ThreadBudget, default_threads

__all__ = [
    "Capability",
    "ClockSample",
    "Decision",
    "DeviceSample",
    "DeviceSensors",
    "EnergySample",
    "FixedPolicy",
    "GpuSample",
    "LevelPolicy",
    "PolicySample",
    "PowerSample",
    "PowerSource",
    "QuotaSample",
    "RatioPolicy",
    "Sampler",
    "SensorSource",
    "Status",
    "ThermalSample",
    "ThreadBudget",
    "default_threads",
    "densest_within",
    "open_sensors",
]
