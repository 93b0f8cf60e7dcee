# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from aio.runtime import InputError
from aio.runtime.inputs import (
    accurate_levels,
    as_batch,
    as_batches,
    as_duration_ms,
    as_integer,
    as_level,
)
from aio.runtime.records import TensorInfo

SHAPE = (2, 3, 4)


def test_a_float32_batch_is_used_as_it_is() -> None:
    x = np.zeros((5, *SHAPE), np.float32)
    batch, single = as_batch(x, SHAPE)
    assert batch is x
    assert not single


def test_one_sample_gets_a_batch_axis() -> None:
    x = np.arange(24, dtype=np.float32).reshape(SHAPE)
    batch, single = as_batch(x, SHAPE)
    assert single
    assert batch.shape == (1, *SHAPE)
    assert np.shares_memory(batch, x)


@pytest.mark.parametrize(
    "dtype", ["f2", "f8", "g", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", ">f4", ">i2"]
)
def test_real_numbers_are_converted(dtype: str) -> None:
    x = (np.arange(24).reshape(1, *SHAPE) % 2).astype(dtype)
    batch, _ = as_batch(x, SHAPE)
    assert batch.dtype == np.float32
    assert batch.dtype.isnative
    assert (batch == x).all()


def test_any_layout_is_accepted() -> None:
    x = np.arange(48, dtype=np.float32).reshape(4, 3, 2, 2).transpose(3, 2, 1, 0)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    unaligned.flags.writeable = False
    for array in (x, unaligned, x[::-1], np.asfortranarray(x), x.tolist(), np.ma.asarray(x)):
        batch, _ = as_batch(array, SHAPE)
        assert batch.flags.c_contiguous
        assert batch.flags.aligned
        assert (batch == np.asarray(array)).all()


def test_special_values_pass() -> None:
    x = np.full((1, *SHAPE), np.nan)
    x[0, 0, 0, :3] = np.inf, -np.inf, 1e300
    batch, _ = as_batch(x, SHAPE)
    assert batch[0, 0, 0, :3].tolist() == [np.inf, -np.inf, np.inf]
    assert np.isnan(batch[0, 0, 0, 3])


def test_an_empty_batch_is_a_batch() -> None:
    assert as_batch(np.zeros((0, *SHAPE)), SHAPE)[0].shape == (0, *SHAPE)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 2, 3, 5)), r"shape \(1, 2, 3, 5\), expected \(N, 2, 3, 4\) or one sample"),
        (np.zeros((2, 3)), r"shape \(2, 3\), expected"),
        (np.zeros((1, 1, *SHAPE)), r"shape \(1, 1, 2, 3, 4\), expected"),
        (1.0, r"shape \(\), expected"),
        ([], r"shape \(0,\), expected"),
        (np.zeros(SHAPE, complex), "dtype complex128, expected real numbers"),
        (np.zeros(SHAPE, object), "dtype object, expected real numbers"),
        (np.zeros(SHAPE, "M8[s]"), "expected real numbers"),
        ("text", "expected real numbers"),
        (None, "dtype object, expected real numbers"),
        ([[1, 2], [3]], "input is no array of numbers"),
        ({"x": 1}, "dtype object"),
    ],
)
def test_wrong_inputs_are_named(x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_batch(x, SHAPE)


INPUTS = TensorInfo("image", SHAPE), TensorInfo("vector", (5,))


@pytest.mark.parametrize("batch", [(), (0,), (3,)])
def test_several_inputs_by_name_or_in_order(batch: tuple[int, ...]) -> None:
    image, vector = np.ones((*batch, *SHAPE)), np.ones((*batch, 5), np.float32)
    forms: list[Any] = [
        {"vector": vector, "image": image},
        [image, vector],
        (image, vector.astype(np.float64)),
    ]
    for x in forms:
        batches, single = as_batches(x, INPUTS)
        assert single == (batch == ())
        assert [len(made) for made in batches] == [*batch, 1][:1] * 2
        assert [made.shape[1:] for made in batches] == [SHAPE, (5,)]
        assert all(made.dtype == np.float32 and made.flags.c_contiguous for made in batches)


def test_one_input_may_be_named_too() -> None:
    x = np.ones((2, *SHAPE), np.float32)
    for argument in (x, {"image": x}):
        (batch,), single = as_batches(argument, INPUTS[:1])
        assert batch is x
        assert not single


IMAGE, VECTOR = np.ones((2, *SHAPE)), np.ones((2, 5))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (IMAGE, "got ndarray for the inputs image, vector: expected a mapping by name, or a list"),
        ("ab", "got str for the inputs"),
        ([IMAGE], "got 1 arrays for the 2 inputs image, vector"),
        ({"image": IMAGE}, "inputs are missing 'vector': the model has image, vector"),
        ({"image": IMAGE, "vector": VECTOR, "z": VECTOR}, "inputs are unknown 'z': the model has"),
        ([VECTOR, IMAGE], r"input 'image' has shape \(2, 5\), expected \(N, 2, 3, 4\)"),
        (
            [IMAGE, np.ones((2, 6))],
            r"'vector' has shape \(2, 6\), expected \(N, 5\) or one .* \(5,\)",
        ),
        ([IMAGE, VECTOR[:1]], r"differ in batch: image \(2, 2, 3, 4\), vector \(1, 5\)"),
        ([IMAGE[:1], VECTOR[0]], "differ in batch"),
        ([IMAGE, "text"], "input 'vector' has dtype"),
    ],
)
def test_several_inputs_that_do_not_fit(x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_batches(x, INPUTS)


class Tensor:
    """Like a torch tensor that needs its gradient."""

    def __array__(self, dtype: object = None, copy: object = None) -> None:
        raise RuntimeError("can't call numpy() on a tensor that requires grad")


def test_arrays_that_refuse_are_named() -> None:
    tensor: Any = Tensor()
    with pytest.raises(InputError, match="requires grad"):
        as_batch(tensor, SHAPE)


def test_levels() -> None:
    assert as_level(np.int64(2), 3) == 2
    for wrong in (3, -1, 10**30):
        with pytest.raises(InputError, match=f"level={wrong}: the model has levels 0 to 2"):
            as_level(wrong, 3)


@pytest.mark.parametrize("wrong", [1.0, "1", None])
def test_integers_are_integers(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"threads=.*: expected an integer"):
        as_integer("threads", wrong)


def test_durations() -> None:
    assert as_duration_ms("deadline_ms", Fraction(3, 2)) == 1.5
    assert as_duration_ms("deadline_ms", np.float32(2)) == 2.0
    assert as_duration_ms("deadline_ms", float("inf")) == float("inf")
    wrong: Any
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(InputError, match="expected more than 0 ms"):
            as_duration_ms("deadline_ms", wrong)
    for wrong in ("soon", [1], None):
        with pytest.raises(InputError, match="expected a number of milliseconds"):
            as_duration_ms("deadline_ms", wrong)


def test_accuracy_floor() -> None:
    assert accurate_levels([0.9, 0.8, None, 0.85], 0.85) == (0, 3)
    assert accurate_levels([0.9], 0) == (0,)
    with pytest.raises(InputError, match=r"min_accuracy=0\.95: the best level has 0\.9"):
        accurate_levels([0.9, 0.8], 0.95)
    with pytest.raises(InputError, match="records no accuracy"):
        accurate_levels([None, None], 0.5)
    wrong: Any
    for wrong in (1.5, -0.1, float("nan"), 90):
        with pytest.raises(InputError, match="expected 0 to 1"):
            accurate_levels([0.9], wrong)
    wrong = "high"
    with pytest.raises(InputError, match="expected a number from 0 to 1"):
        accurate_levels([0.9], wrong)
