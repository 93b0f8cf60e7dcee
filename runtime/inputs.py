# SPDX-License-Identifier: Apache-2.0
"""Arguments of `infer` and `load`: whatever people pass, checked and brought to one form."""

import operator
from collections.abc import Sequence
from typing import SupportsFloat, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aio.runtime.errors import InputError

_FLOAT32 = np.dtype(np.float32)
_NUMERIC_KINDS = "fiub"


def as_batch(x: ArrayLike, shape: tuple[int, int, int]) -> tuple[NDArray[np.float32], bool]:
    """Return x as a float32 C-contiguous batch (N, C, H, W), and whether it came without N.

    Raises:
        InputError: x is not numeric or has another shape.
    """
    if type(x) is np.ndarray and x.dtype is _FLOAT32 and x.shape[1:] == shape:
        flags = x.flags
        if flags.c_contiguous and flags.aligned:
            return x, False
    array = _as_float32(_as_array(x))
    if array.shape == shape:
        return array[np.newaxis], True
    if array.shape[1:] != shape or array.ndim != 4:
        channels, height, width = shape
        raise InputError(
            f"input has shape {array.shape}, expected (N, {channels}, {height}, {width}) "
            f"or one sample ({channels}, {height}, {width})"
        )
    return array, False


def _as_array(x: ArrayLike) -> NDArray[np.generic]:
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor with gradient
        raise InputError(f"input is no array of numbers: {error}") from error


def _as_float32(array: NDArray[np.generic]) -> NDArray[np.float32]:
    if array.dtype.kind not in _NUMERIC_KINDS:
        raise InputError(f"input has dtype {array.dtype}, expected real numbers")
    # A number beyond float32 becomes infinity, as it does in torch.
    with np.errstate(over="ignore", invalid="ignore"):
        return cast("NDArray[np.float32]", np.require(array, np.float32, ["C", "ALIGNED"]))


def as_level(level: SupportsIndex, count: int) -> int:
    """Return a level that exists.

    Raises:
        InputError: there is no such level.
    """
    index = as_integer("level", level)
    if not 0 <= index < count:
        raise InputError(f"level={index}: the model has levels 0 to {count - 1}")
    return index


def as_integer(name: str, value: SupportsIndex) -> int:
    """Return value as an int; floats are not integers.

    Raises:
        InputError: it is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name}={value!r}: expected an integer") from None


def as_duration_ms(name: str, value: SupportsFloat) -> float:
    """Return a time in ms above 0; infinity means no limit.

    Raises:
        InputError: it is no such time.
    """
    try:
        duration_ms = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r}: expected a number of milliseconds") from None
    if not duration_ms > 0:
        raise InputError(f"{name}={duration_ms}: expected more than 0 ms")
    return duration_ms


def accurate_levels(
    accuracies: Sequence[float | None], min_accuracy: SupportsFloat
) -> tuple[int, ...]:
    """Return the levels whose recorded accuracy is at least `min_accuracy`.

    Raises:
        InputError: the model does not record accuracies, or no level is accurate enough.
    """
    try:
        floor = float(min_accuracy)
    except (TypeError, ValueError):
        raise InputError(f"min_accuracy={min_accuracy!r}: expected a number from 0 to 1") from None
    if not 0 <= floor <= 1:
        raise InputError(f"min_accuracy={floor}: expected 0 to 1")
    known = [(level, value) for level, value in enumerate(accuracies) if value is not None]
    if not known:
        raise InputError(f"min_accuracy={floor}: the model records no accuracy for any level")
    levels = tuple(level for level, value in known if value >= floor)
    if not levels:
        best = max(value for _, value in known)
        raise InputError(f"min_accuracy={floor}: the best level has {best}")
    return levels
