# SPDX-License-Identifier: Apache-2.0
"""How a person draws the ten digits: strokes of points in a square of side 1, y down."""

from __future__ import annotations

import math

Stroke = list[tuple[float, float]]


def arc(
    x: float, y: float, width: float, height: float, start: float, end: float, steps: int = 24
) -> Stroke:
    """Return a part of an ellipse; angles in degrees, 0 to the right, clockwise on screen."""
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(x + width * math.cos(a), y + height * math.sin(a)) for a in angles]


DIGITS: dict[int, list[Stroke]] = {
    0: [arc(0.5, 0.5, 0.2, 0.34, -90, 270)],
    1: [[(0.36, 0.32), (0.52, 0.16), (0.52, 0.84)]],
    2: [[*arc(0.5, 0.34, 0.18, 0.18, -170, 30), (0.34, 0.84), (0.7, 0.84)]],
    3: [[*arc(0.48, 0.33, 0.18, 0.17, -150, 80), *arc(0.48, 0.67, 0.2, 0.18, -80, 150)]],
    4: [[(0.5, 0.15), (0.3, 0.58), (0.72, 0.58)], [(0.6, 0.38), (0.6, 0.86)]],
    5: [[(0.68, 0.16), (0.38, 0.16), (0.36, 0.46), *arc(0.48, 0.63, 0.19, 0.2, -110, 140)]],
    6: [[(0.6, 0.15), (0.42, 0.38), *arc(0.5, 0.66, 0.17, 0.18, -180, 180)]],
    7: [[(0.32, 0.17), (0.68, 0.17), (0.46, 0.85)], [(0.42, 0.5), (0.68, 0.5)]],
    8: [[*arc(0.5, 0.32, 0.15, 0.16, 90, 450), *arc(0.5, 0.67, 0.18, 0.19, -90, 270)]],
    9: [[*arc(0.5, 0.34, 0.17, 0.18, 0, 360), (0.66, 0.5), (0.6, 0.85)]],
}
