# SPDX-License-Identifier: Apache-2.0
"""The table of statuses."""

import pytest

from aio.runtime.errors import AioError, ClosedError, InputError, ModelFileError
from aio.runtime.serve import errors


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (errors.RequestError("x"), 400, errors.OTHER),
        (errors.UnknownModelError("x"), 404, errors.OTHER),
        (errors.BodyTimeoutError("x"), 408, errors.CANCELED),
        (errors.CallDeadlineError("x"), 408, errors.CANCELED),
        (errors.BodyTooLargeError("x"), 413, errors.OTHER),
        (errors.EncodingError("x"), 415, errors.OTHER),
        (errors.UnavailableError("x"), 503, errors.REJECTED),
        (InputError("x"), 400, errors.OTHER),
        (ClosedError("x"), 503, errors.REJECTED),
        (ModelFileError("x"), 500, errors.BACKEND),
        (AioError("x"), 500, errors.BACKEND),
        (ValueError("x"), 500, errors.BACKEND),
        (MemoryError(), 503, errors.REJECTED),
    ],
)
def test_status_and_reason(error: Exception, status: int, reason: str) -> None:
    row = errors.row_of(error)
    assert (row.status, row.reason) == (status, reason)


def test_a_derived_error_stands_above_its_base() -> None:
    kinds = [row.error for row in errors.TABLE]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[index + 1 :])
