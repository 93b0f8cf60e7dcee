# SPDX-License-Identifier: Apache-2.0
"""The probe of a driver for which trying to read is the best test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aio.governors.base import Capability, SensorError, SensorUnsupported, Status

SampleT = TypeVar("SampleT")


def probe_by_reading(
    name: str,
    quantity: str,
    read: Callable[[], SampleT],
    describe: Callable[[SampleT], str],
) -> Capability:
    """Return what one reading shows; `describe` says in words what was found."""
    try:
        sample = read()
    except SensorUnsupported as error:
        return Capability(name, quantity, Status.UNSUPPORTED, str(error))
    except SensorError as error:
        return Capability(name, quantity, Status.ERROR, str(error))
    return Capability(name, quantity, Status.VALUE, describe(sample))
