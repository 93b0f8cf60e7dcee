# SPDX-License-Identifier: Apache-2.0
"""The highest classes, also of ties and of values that are no numbers."""

import numpy as np

from aio.runtime.serve.protocol.classification import classify

NAN, INF = np.nan, np.inf


def test_the_highest_come_first_with_their_labels() -> None:
    x = np.array([[1, 5, 10, 4], [0.125, -1, -2, -3]], dtype=np.float32)
    assert classify(x, 2, ("a", "b", "c", "d")) == [["10:2:c", "5:1:b"], ["0.125:0:a", "-1:1:b"]]


def test_without_labels_there_is_no_third_field() -> None:
    assert classify(np.array([[1, 2]], dtype=np.float32), 1, ()) == [["2:1"]]


def test_ties_keep_their_order_and_nan_is_last() -> None:
    x = np.array([[NAN, 3, -INF, 3, INF]], dtype=np.float32)
    assert classify(x, 5, ()) == [["inf:4", "3:1", "3:3", "-inf:2", "nan:0"]]


def test_more_axes_are_one_row_of_classes() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    assert classify(x, 1, ()) == [["5:5"]]
