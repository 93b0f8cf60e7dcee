# SPDX-License-Identifier: Apache-2.0
"""Clock tables of real boards, as data, and sysfs trees made of them.

Used to emulate boards and to test drivers; nothing here is needed to run on a real one. What is
known of each board and how well is written in its file (boards/*.json). Frequencies are kHz.
"""

from aio.governors.devices.board import CpuPolicy, Device, GpuClock, Preset
from aio.governors.devices.ladder import Ladder, ladder
from aio.governors.devices.loader import device_names, load_device
from aio.governors.devices.tree import DeviceTree, write_tree

__all__ = [
    "CpuPolicy",
    "Device",
    "DeviceTree",
    "GpuClock",
    "Ladder",
    "Preset",
    "device_names",
    "ladder",
    "load_device",
    "write_tree",
]
