# SPDX-License-Identifier: Apache-2.0
"""Arguments of `infer` and `load`: whatever people pass, checked and brought to one form."""

import operator
from collections.abc import Mapping, Sequence
from typing import SupportsFloat, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aio.runtime.errors import InputError
from aio.runtime.records import TensorInfo

_FLOAT32 = np.dtype(np.float32)
_NUMERIC_KINDS = "fiub"


Inputs = ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]
"""One array for a model of one input; for several a mapping by name, or a sequence in order."""


def as_batches(x: Inputs, inputs: Sequence[TensorInfo]) -> tuple[list[NDArray[np.float32]], bool]:
    """Return one float32 C-contiguous batch per input, and whether they came without batch axis.

    Args:
        x: one array, a mapping of arrays by the inputs' names, or, for a model of several inputs,
            a list or tuple of arrays in their order.
        inputs: the model's inputs.

    Raises:
        InputError: inputs are missing or unknown, an array does not fit, or batches differ.
    """
    if isinstance(x, Mapping):
        arrays = _by_name(x, inputs)
    elif len(inputs) == 1:
        batch, single = as_batch(cast("ArrayLike", x), inputs[0].shape)
        return [batch], single
    else:
        arrays = _in_order(x, inputs)
    batches, singles = [], set()
    for array, info in zip(arrays, inputs, strict=True):
        batch, single = as_batch(array, info.shape, f"input {info.name!r}")
        batches.append(batch)
        singles.add(single)
    sizes = [len(batch) for batch in batches]
    if len(singles) > 1 or min(sizes) != max(sizes):
        found = ", ".join(
            f"{info.name} {np.shape(array)}" for info, array in zip(inputs, arrays, strict=True)
        )
        raise InputError(f"the inputs differ in batch: {found}; give all the same batch axis")
    return batches, singles.pop()


def _by_name(x: Mapping[str, ArrayLike], inputs: Sequence[TensorInfo]) -> list[ArrayLike]:
    names = [info.name for info in inputs]
    unknown = [name for name in x if name not in names]
    missing = [name for name in names if name not in x]
    if unknown or missing:
        problem = f"unknown {unknown[0]!r}" if unknown else f"missing {missing[0]!r}"
        raise InputError(f"inputs are {problem}: the model has {', '.join(names)}")
    return [x[name] for name in names]


def _in_order(x: Inputs, inputs: Sequence[TensorInfo]) -> list[ArrayLike]:
    names = ", ".join(info.name for info in inputs)
    if not isinstance(x, list | tuple):
        raise InputError(
            f"got {type(x).__name__} for the inputs {names}: expected a mapping by name, or a "
            "list or tuple of arrays in this order"
        )
    if len(x) != len(inputs):
        raise InputError(f"got {len(x)} arrays for the {len(inputs)} inputs {names}")
    return list(x)


def as_batch(
    x: ArrayLike, shape: tuple[int, ...], what: str = "input"
) -> tuple[NDArray[np.float32], bool]:
    """Return x as a float32 C-contiguous batch (N, *shape), and whether it came without N.

    Raises:
        InputError: x is not numeric or has another shape; the message calls it `what`.
    """
    if type(x) is np.ndarray and x.dtype is _FLOAT32 and x.shape[1:] == shape:
        flags = x.flags
        if flags.c_contiguous and flags.aligned:
            return x, False
    array = _as_float32(_as_array(x, what), what)
    if array.shape == shape:
        return array[np.newaxis], True
    if array.shape[1:] != shape or array.ndim != 1 + len(shape):
        sides = ", ".join(map(str, shape))
        sample = f"({sides},)" if len(shape) == 1 else f"({sides})"
        raise InputError(
            f"{what} has shape {array.shape}, expected (N, {sides}) or one sample {sample}"
        )
    return array, False


def _as_array(x: ArrayLike, what: str) -> NDArray[np.generic]:
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor with gradient
        raise InputError(f"{what} is no array of numbers: {error}") from error


def _as_float32(array: NDArray[np.generic], what: str) -> NDArray[np.float32]:
    if array.dtype.kind not in _NUMERIC_KINDS:
        raise InputError(f"{what} has dtype {array.dtype}, expected real numbers")
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
