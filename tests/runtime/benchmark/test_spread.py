# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from aio.runtime.benchmark.spread import Spread, spread


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0, 100.0]) == Spread(2.5, 1.0, 1.0, 4)
    assert spread([5.0]) == Spread(5.0, 0.0, 5.0, 1)
