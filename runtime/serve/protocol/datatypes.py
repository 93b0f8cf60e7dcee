# SPDX-License-Identifier: Apache-2.0
"""The datatypes of the protocol, and how inputs of each become the FP32 that models compute in.

Integers, booleans, FP16 and BF16 are converted always; integers beyond 2**24 are rounded to the
nearest FP32. FP64 is rounded too, but a finite number that FP32 can't hold is an error, never
infinity. NaN and infinity that arrive in binary are passed on: what they mean is the model's
business. Outputs are FP32, as the metadata says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from reprlib import repr as short_repr
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol.schema import Tensor

Numbers = NDArray[Any]
INTEGERS = frozenset((int,))
BOOLEANS = frozenset((bool,))
REALS = frozenset((int, float))
FP16_MAX = 65504.0


@dataclass(frozen=True)
class Datatype:
    """One datatype of inputs.

    Attributes:
        name: in the protocol.
        raw: how its elements lie in binary data, little-endian.
        accepts: Python types of its elements in JSON; none means binary data only.
        low: the smallest element in JSON; of FP64, what FP32 can hold.
        high: the largest element in JSON.
        to_fp32: makes FP32 of an array of `raw`; None for FP32 itself.
    """

    name: str
    raw: "np.dtype[Any]"
    accepts: frozenset[type]
    low: float
    high: float
    to_fp32: Callable[[Numbers, str], Tensor] | None

    @property
    def item_bytes(self) -> int:
        """Bytes of one element in binary data."""
        return self.raw.itemsize


def find(name: object, where: str) -> Datatype:
    """Return the datatype of an input.

    Raises:
        RequestError: there is none of that name, or no model here has such inputs.
    """
    found = DATATYPES.get(name) if isinstance(name, str) else None
    if found is not None:
        return found
    if name == "BYTES":
        raise RequestError(
            f"{where}: datatype BYTES holds strings or files, and this model takes numbers; decode "
            "the data and send it as FP32, or as another numeric datatype"
        )
    raise RequestError(
        f"{where}: datatype must be one of {', '.join(DATATYPES)}, got {short_repr(name)}"
    )


def from_binary(raw: memoryview, shape: tuple[int, ...], datatype: Datatype, where: str) -> Tensor:
    """Return the elements as the executor wants them; FP32 is copied only if misaligned."""
    view = np.frombuffer(raw, dtype=datatype.raw)
    if datatype.to_fp32 is None:
        return (view if view.flags.aligned else view.copy()).reshape(shape)
    return datatype.to_fp32(view, where).reshape(shape)


def from_json(elements: list[object], datatype: Datatype, where: str) -> Tensor:
    """Return the elements of a flat list as FP32.

    Raises:
        RequestError: an element is of another kind, or the datatype can't hold it.
    """
    numbers = _of_kind(elements, datatype, where)
    if datatype.accepts is not REALS:
        if not datatype.low <= min(numbers) <= max(numbers) <= datatype.high:
            raise _beyond(numbers, datatype, where)
        return np.array(numbers, dtype=datatype.raw).astype(np.float32)
    try:
        exact = np.array(numbers, dtype=np.float64)
    except OverflowError:
        raise _beyond(numbers, datatype, where) from None
    # An integer may be over the limit by less than FP64 can tell, so close ones are compared.
    near = not datatype.low < exact.min() <= exact.max() < datatype.high
    if near and not datatype.low <= min(numbers) <= max(numbers) <= datatype.high:
        raise _beyond(numbers, datatype, where)
    return (exact.astype(np.float16) if datatype.name == "FP16" else exact).astype(np.float32)


def _of_kind(elements: list[object], datatype: Datatype, where: str) -> list[Any]:
    if not datatype.accepts:
        raise RequestError(f"{where}: JSON has no {datatype.name}; send the tensor as binary data")
    if datatype.accepts.issuperset(map(type, elements)):
        return elements
    if datatype.accepts is INTEGERS:  # some writers of JSON give whole numbers as 1.0
        elements = [int(x) if type(x) is float and x.is_integer() else x for x in elements]
        if datatype.accepts.issuperset(map(type, elements)):
            return elements
    wrong = next(item for item in elements if type(item) not in datatype.accepts)
    kind = {INTEGERS: "whole numbers", BOOLEANS: "true or false"}.get(datatype.accepts, "numbers")
    raise RequestError(f"{where}: data must be {kind} only, got {short_repr(wrong)}")


def _beyond(numbers: list[Any], datatype: Datatype, where: str) -> RequestError:
    wrong = next(item for item in numbers if not datatype.low <= item <= datatype.high)
    name = "FP32" if datatype.name == "FP64" else datatype.name
    return RequestError(
        f"{where}: data holds a number beyond the range of {name}, {short_repr(wrong)}"
    )


def _as_is(values: Numbers, _: str) -> Tensor:
    return values.astype(np.float32)


def _from_bool(values: Numbers, where: str) -> Tensor:
    if values.size and values.max() > 1:
        raise RequestError(f"{where}: each byte of BOOL must be 0 or 1, got {values.max()}")
    return values.astype(np.float32)


def _from_bf16(values: Numbers, _: str) -> Tensor:
    """Put the 16 bits above 16 zero bits, which is the same number in FP32."""
    return cast("Tensor", np.left_shift(values, 16, dtype=np.uint32).view(np.float32))


def _rounded(values: Numbers, where: str) -> Tensor:
    """Round to FP32; infinity is only what was infinite."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    overflown = np.isinf(rounded) & np.isfinite(values)
    if overflown.any():
        wrong = values[int(overflown.argmax())]
        raise RequestError(f"{where}: data holds a number beyond the range of FP32, {wrong}")
    return rounded


def _integer(name: str) -> Datatype:
    raw = np.dtype(name.lower()).newbyteorder("<")
    info = np.iinfo(raw)
    return Datatype(name, raw, INTEGERS, info.min, info.max, _as_is)


FP32_MAX = float(np.finfo(np.float32).max)
FP32 = Datatype("FP32", np.dtype("<f4"), REALS, -FP32_MAX, FP32_MAX, None)
DATATYPES = {
    datatype.name: datatype
    for datatype in (
        FP32,
        Datatype("FP16", np.dtype("<f2"), REALS, -FP16_MAX, FP16_MAX, _as_is),
        Datatype("BF16", np.dtype("<u2"), frozenset(), 0, 0, _from_bf16),
        Datatype("FP64", np.dtype("<f8"), REALS, -FP32_MAX, FP32_MAX, _rounded),
        Datatype("BOOL", np.dtype("u1"), BOOLEANS, 0, 1, _from_bool),
        *(_integer(f"{sign}INT{bits}") for bits in (8, 16, 32, 64) for sign in ("", "U")),
    )
}
