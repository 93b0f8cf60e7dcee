# SPDX-License-Identifier: Apache-2.0
"""The classification extension: the k highest elements of each sample as "value:index:label"."""

from typing import cast

import numpy as np

from aio.runtime.serve.protocol.schema import Tensor


def classify(tensor: Tensor, classes: int, labels: tuple[str, ...]) -> list[list[str]]:
    """Return for each sample its `classes` highest elements, the highest first.

    Equal elements come in the order of their index; NaN ranks last.
    """
    scores = tensor.reshape(tensor.shape[0], -1)
    ranked = np.argsort(-scores, axis=1, kind="stable")  # NumPy sorts NaN to the end
    best = cast("list[list[int]]", ranked[:, :classes].tolist())
    return [
        [_entry(row[index], index, labels) for index in indices]
        for row, indices in zip(scores, best, strict=True)
    ]


def _entry(value: np.float32, index: int, labels: tuple[str, ...]) -> str:
    text = f"{value:.6g}:{index}"
    return f"{text}:{labels[index]}" if index < len(labels) else text
