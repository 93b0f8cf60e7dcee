# SPDX-License-Identifier: Apache-2.0
"""The governors that can be simulated, by the name that scaling_governor shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aio.governors.emulation.rules.demand import Conservative, Ondemand
from aio.governors.emulation.rules.static import Performance, Powersave, Userspace
from aio.governors.emulation.rules.utilisation import PstatePowersave, Schedutil

if TYPE_CHECKING:
    from aio.governors.devices import Device
    from aio.governors.emulation.rules.base import KernelGovernor

GOVERNORS: dict[str, Callable[[], KernelGovernor]] = {
    "performance": Performance,
    "powersave": Powersave,
    "userspace": Userspace,
    "ondemand": Ondemand,
    "conservative": Conservative,
    "schedutil": Schedutil,
}
# Drivers that choose clocks themselves and only borrow the governors' names.
ACTIVE_DRIVERS = ("intel_pstate", "amd-pstate-epp")


def governor_names() -> tuple[str, ...]:
    """Return the names of the governors that can be simulated."""
    return tuple(GOVERNORS)


def make_governor(name: str, device: Device) -> KernelGovernor:
    """Return a fresh governor by its name, as the driver of the board understands it.

    Raises:
        ValueError: it can't be simulated.
    """
    if name not in GOVERNORS:
        raise ValueError(f"unknown governor {name!r}; known governors: {', '.join(GOVERNORS)}")
    if name == "powersave" and device.driver in ACTIVE_DRIVERS:
        return PstatePowersave()
    return GOVERNORS[name]()
