# SPDX-License-Identifier: Apache-2.0
"""What this machine's processor calls itself."""

import platform
import re
from pathlib import Path

# x86 has "model name"; device trees on ARM have the board in "Model" or "Hardware".
_FIELDS = ("model name", "Model", "Hardware", "CPU part")


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, or its architecture where the kernel gives no name."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for field in _FIELDS:
        found = re.search(rf"^{field}\s*:\s*(\S.*)$", text, re.MULTILINE)
        if found:
            return " ".join(found.group(1).split())
    return platform.machine() or "unknown"
