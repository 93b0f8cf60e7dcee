# SPDX-License-Identifier: Apache-2.0
"""What the server prints when it is ready: one line about itself, and something to try."""

import json
import math
import shlex
import time
from collections.abc import Iterable
from typing import Any

from aio.governors import Capability, Status
from aio.governors.base import CPU_CLOCK
from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.serve.telemetry.logs import PROGRAM, json_line, rfc3339
from aio.runtime.shipped import EXAMPLE_REQUEST

SHADES = " .:-=+*#%@"


def start_line(
    engine: Engine,
    url: str,
    *,
    name: str | None = None,
    target: str,
    level: int | None,
    grpc: str | None = None,
) -> str:
    """Return model, address, and everything that decides about speed, in one line.

    Args:
        engine: the loaded model.
        url: where it is served.
        name: what it is served as; None is the model's own name.
        target: where the target comes from, such as "default".
        level: the level every inference is pinned to, if it is.
        grpc: the address of gRPC, if it is served.
    """
    clock = engine.clock
    reading = "unknown" if clock.cpu_khz is None else f"{clock.cpu_khz / 1e3:.0f} MHz"
    levels = len(engine.levels)
    parts = [
        f"aio-serve: {name or engine.name} on {url}",
        f"isa {engine.isa}",
        f"threads {engine.threads}",
        f"clock {clock.driver} {reading}",
        sensors_text(item for item in engine.sensors if item.quantity != CPU_CLOCK),
        _target(engine.target_ms, target),
        f"{levels} levels" if level is None else f"level {level} of {levels} only",
    ]
    if grpc is not None:
        parts.append(f"grpc {grpc}")
    return " | ".join(parts)


def start_entry(
    engine: Engine,
    url: str,
    *,
    name: str | None = None,
    target: str,
    level: int | None,
    grpc: str | None = None,
) -> str:
    """Return the same as an object of the JSON log; what is not known is null."""
    clock = engine.clock
    entry: dict[str, object] = {
        "time": rfc3339(time.time()),
        "level": "info",
        "logger": PROGRAM,
        "message": f"serving {name or engine.name} on {url}",
        "model": name or engine.name,
        "address": url,
        "grpc_address": grpc,
        "isa": engine.isa,
        "threads": engine.threads,
        "clock_driver": clock.driver,
        "cpu_khz": clock.cpu_khz,
        "sensors": _in_use(engine.sensors),
        "target_ms": engine.target_ms if math.isfinite(engine.target_ms) else None,
        "target_from": target,
        "levels": len(engine.levels),
        "pinned_level": level,
    }
    return json_line(entry)


def sensors_text(capabilities: Iterable[Capability]) -> str:
    """Return what has a value and from which driver, as in `sensors thermal sysfs, energy rapl`."""
    found = ", ".join(f"{quantity} {driver}" for quantity, driver in _in_use(capabilities).items())
    return f"sensors {found}" if found else "no other sensors"


def _in_use(capabilities: Iterable[Capability]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in capabilities:
        if item.status is Status.VALUE:  # the first of a chain is the one in use
            found.setdefault(item.quantity, item.driver)
    return found


def example(url: str, model: str) -> str:
    """Return a digit drawn in characters, and the curl line that asks the server for it."""
    text = EXAMPLE_REQUEST.read_text(encoding="utf-8").strip()
    where = url
    if url.startswith("unix:"):
        where = f"--unix-socket {shlex.quote(url.removeprefix('unix:'))} http://localhost"
    command = f"curl -s {where}/v2/models/{model}/infer -d {shlex.quote(text)}"
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
