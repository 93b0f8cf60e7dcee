# SPDX-License-Identifier: Apache-2.0
"""The rules by which the kernel's cpufreq governors choose a clock, for simulated devices.

Each is a small class without time or threads of its own: it is told how busy the CPU was since
the last update and answers with an operating point. The virtual device and the real-time
emulation drive the same classes.
"""

from aio.governors.emulation.rules.base import KernelGovernor, Window
from aio.governors.emulation.rules.table import governor_names, make_governor

__all__ = ["KernelGovernor", "Window", "governor_names", "make_governor"]
