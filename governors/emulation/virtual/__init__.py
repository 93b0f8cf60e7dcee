# SPDX-License-Identifier: Apache-2.0
"""A simulated device in virtual time: deterministic, thousands of seconds per second."""

from aio.governors.emulation.virtual.device import VirtualDevice
from aio.governors.emulation.virtual.thermal import ThermalModel

__all__ = ["ThermalModel", "VirtualDevice"]
