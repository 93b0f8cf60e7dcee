# SPDX-License-Identifier: Apache-2.0
"""Memory stays flat, and answers right, over many inferences from several threads.

AIO_SOAK_INFERENCES asks for more of them; `scripts/soak` does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[1] / "support" / "soak.py"
INFERENCES = int(os.environ.get("AIO_SOAK_INFERENCES", "2000"))
# A leaked answer (an array of 20 floats, above 160 bytes) per inference is 15 MiB in the long run;
# the short one finds leaks above 2 KiB per inference. Without a leak, 100,000 inferences grew by
# 0.14 MiB.
GROWTH_MIB = 4.0


def test_memory_stays_flat() -> None:
    done = subprocess.run(
        [sys.executable, str(SOAK), str(INFERENCES)], stdout=subprocess.PIPE, check=True
    )
    report = json.loads(done.stdout)
    print(report)
    assert report["wrong"] == []
    assert report["inferences"] >= INFERENCES
    assert report["growth_mib"] < GROWTH_MIB
