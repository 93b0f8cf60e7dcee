# SPDX-License-Identifier: Apache-2.0
"""A bound on the rounding error of Winograd's F(4x4, 3x3), derived without the code under test.

Y = A^T [sum_c (G g_c G^T) * (B^T d_c B)] A is a chain of sums of products. Computed in float32 in
any order it differs from the exact value by at most gamma(n) times the same chain over absolute
values, where n counts the roundings on the longest way (Higham 2002, section 3.1; Barabasz et al.
2020, theorem 2).
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from reference import gamma

Array = NDArray[np.float64]
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
TILE, PATCH = 4, 6
# Two transforms of at most 6 terms each on the way in, two on the way out, the weights' own.
TRANSFORM_ROUNDINGS = 2 * (PATCH + PATCH + 3)


def matrices() -> tuple[Array, Array, Array]:
    """Return A^T (4 x 6), G (6 x 3) and B^T (6 x 6) by Toom-Cook interpolation."""
    a, g, b = np.zeros((TILE, PATCH)), np.zeros((PATCH, 3)), np.zeros((PATCH, PATCH))
    for i, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        a[:, i] = [point**power for power in range(TILE)]
        g[i] = [point**power / np.prod([point - other for other in others]) for power in range(3)]
        b[i, :-1] = polynomial.polyfromroots(others)
    a[-1, -1] = g[-1, -1] = 1.0
    b[-1] = polynomial.polyfromroots(POINTS)
    return a, g, b


def correlate(x: Array, weight: Array, *, absolute: bool) -> Array:
    """Return the convolution of padded images by tiles, in float64.

    Args:
        x: padded images (N, C, H + 2, W + 2).
        weight: kernels (O, C, 3, 3).
        absolute: use the absolute values of all numbers, also of the matrices.
    """
    a, g, b = matrices()
    if absolute:
        a, g, b, x, weight = (np.abs(part) for part in (a, g, b, x, weight))
    height, width = x.shape[2] - 2, x.shape[3] - 2
    rows, cols = -(-height // TILE), -(-width // TILE)
    missing = ((0, 0), (0, 0), (0, rows * TILE - height), (0, cols * TILE - width))
    patches = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, missing), (PATCH, PATCH), axis=(2, 3)
    )
    d = b @ patches[:, :, ::TILE, ::TILE] @ b.T
    y = a @ np.einsum("nchwij,ocij->nohwij", d, g @ weight @ g.T, optimize=True) @ a.T
    image = y.transpose(0, 1, 2, 4, 3, 5).reshape(len(x), len(weight), rows * TILE, cols * TILE)
    result: Array = image[:, :, :height, :width]
    return result


def error_bound(x: Array, weight: Array) -> Array:
    """Return by how much each output may differ; the arguments are those of `correlate`."""
    terms = weight.shape[1] + TRANSFORM_ROUNDINGS
    return gamma(terms) * correlate(x, weight, absolute=True)
