# SPDX-License-Identifier: Apache-2.0
"""What the server prints when it is ready: one line about itself, and something to try."""

import json
import math
import shlex
from typing import Any

from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.shipped import EXAMPLE_REQUEST

SHADES = " .:-=+*#%@"


def start_line(
    engine: Engine, url: str, *, name: str | None = None, target: str, level: int | None
) -> str:
    """Return model, address, and everything that decides about speed, in one line.

    Args:
        engine: the loaded model.
        url: where it is served.
        name: what it is served as; None is the model's own name.
        target: where the target comes from, such as "default".
        level: the level every inference is pinned to, if it is.
    """
    clock = engine.clock
    reading = "unknown" if clock.cpu_khz is None else f"{clock.cpu_khz / 1e3:.0f} MHz"
    levels = len(engine.levels)
    parts = (
        f"aio-serve: {name or engine.name} on {url}",
        f"isa {engine.isa}",
        f"threads {engine.threads}",
        f"clock {clock.driver} {reading}",
        _target(engine.target_ms, target),
        f"{levels} levels" if level is None else f"level {level} of {levels} only",
    )
    return " | ".join(parts)


def example(url: str, model: str) -> str:
    """Return a digit drawn in characters, and the curl line that asks the server for it."""
    text = EXAMPLE_REQUEST.read_text(encoding="utf-8").strip()
    command = f"curl -s {url}/v2/models/{model}/infer -d {shlex.quote(text)}"
    request = json.loads(text)
    what = request.get("id", "this handwritten digit")
    return f"try it on {what}:\n{_drawing(request)}\n{command}"


def _target(target_ms: float, origin: str) -> str:
    if not math.isfinite(target_ms):
        return "no target"
    return f"target {target_ms:.3g} ms ({origin})"


def _drawing(request: dict[str, Any]) -> str:
    """Return the image of the request, two characters a pixel as characters are tall."""
    tensor = request["inputs"][0]
    width, data = tensor["shape"][-1], tensor["data"]
    high = max(data) or 1
    pixels = [2 * SHADES[round(value / high * (len(SHADES) - 1))] for value in data]
    rows = ("".join(pixels[at : at + width]) for at in range(0, len(pixels), width))
    return "\n".join("    " + row.rstrip() for row in rows)
