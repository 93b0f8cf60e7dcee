# SPDX-License-Identifier: Apache-2.0
"""Emulation in real time: programs that run really slower, next to a sysfs tree that says why.

RealtimeEmulation is the whole, ClockThieves the slowing down alone. Linux only, and only with
the right to use real-time priority.
"""

from aio.governors.emulation.realtime.emulation import RealtimeEmulation
from aio.governors.emulation.realtime.selfcheck import CheckedPoint, check_speeds
from aio.governors.emulation.realtime.thieves import ClockThieves

__all__ = ["CheckedPoint", "ClockThieves", "RealtimeEmulation", "check_speeds"]
