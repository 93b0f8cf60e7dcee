# SPDX-License-Identifier: Apache-2.0
"""The end of the chain: no clock is known, and the reason is part of every sample."""

from __future__ import annotations

import time

from aio.governors.base import CPU_CLOCK, Capability, ClockSample, Status

REASON = "no sensor shows the CPU clock here, so it is taken as constant"


class ConstantDriver:
    """Answers that the clock is unknown; whoever predicts latency then assumes it never moves."""

    name = "constant"

    def probe(self) -> Capability:
        """Say that there is no value."""
        return Capability(self.name, CPU_CLOCK, Status.UNSUPPORTED, REASON)

    def read(self) -> ClockSample:
        """Return a sample without a clock."""
        return ClockSample(time.monotonic_ns(), None, None, self.name, (), REASON)

    def close(self) -> None:
        """Do nothing; there is nothing to free."""
