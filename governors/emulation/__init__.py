# SPDX-License-Identifier: Apache-2.0
"""Emulated devices, because most machines can't be clocked at will.

In virtual time: VirtualDevice, deterministic and fast. In real time, with programs that really
run slower: aio.governors.emulation.realtime. Whatever comes from here is emulated and must be
labelled so. See docs/emulation.md.
"""

from aio.governors.emulation.rules import governor_names
from aio.governors.emulation.trace import Change, Event, Trace, load_trace, trace_names
from aio.governors.emulation.virtual import ThermalModel, VirtualDevice

__all__ = [
    "Change",
    "Event",
    "ThermalModel",
    "Trace",
    "VirtualDevice",
    "governor_names",
    "load_trace",
    "trace_names",
]
