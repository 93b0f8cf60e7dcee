# SPDX-License-Identifier: Apache-2.0
"""Calibrations made up by a test, so that choices do not depend on the machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from aio.runtime import Runtime


def pretend(path: Path, cache_dir: Path, level_ms: Sequence[float], **options: object) -> Path:
    """Make the calibration of a model say that its levels take so long, whatever the clock.

    Every layer has an equal part. `options` are those the model will be loaded with. Returns
    `cache_dir`.
    """
    Runtime.load(path, cache_dir=cache_dir, **options).close()  # type: ignore[arg-type]
    (file,) = cache_dir.iterdir()
    document = json.loads(file.read_text())
    layers = document["key"]["layers"]
    document["model"] = {
        "reference_ms": list(level_ms),
        "cycles": None,
        "fixed_ms": [0.0] * len(level_ms),
        "layer_shares": [[1 / layers] * layers] * len(level_ms),
    }
    file.write_text(json.dumps(document))
    return cache_dir
