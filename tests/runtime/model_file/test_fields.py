# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.fields import Fields


def test_values_are_taken_once() -> None:
    fields = Fields({"n": 3, "t": "a", "x": 1, "b": False, "l": [1, 2], "s": ["p", "q"]}, "it")
    assert fields.integer("n", 0, 3) == 3
    assert fields.text("t", re.compile("[a-z]")) == "a"
    assert fields.number("x") == 1.0
    assert fields.boolean("b") is False
    assert fields.integers("l", 2, 1, 2) == (1, 2)
    assert not fields.has("n")
    assert fields.has("s")
    assert fields.texts("s") == ("p", "q")
    fields.finish()
    with pytest.raises(Defect, match="it lacks the key 'n'"):
        fields.take("n")


def test_nested_objects_know_where_they_are() -> None:
    fields = Fields({"a": {"b": 1}, "list": [{"c": "x"}]}, "it")
    assert fields.nested("a").rest() == {"b": 1}
    inner = next(fields.nested_list("list"))
    with pytest.raises(Defect, match=r"it\.list\[0\]\.c is 'x', expected an integer"):
        inner.integer("c", 0, 1)


@pytest.mark.parametrize(
    ("value", "read", "message"),
    [
        (True, lambda f: f.integer("k", 0, 1), "it.k is True, expected an integer"),
        (1.0, lambda f: f.integer("k", 0, 1), "it.k is 1.0, expected an integer"),
        (2, lambda f: f.integer("k", 0, 1), "it.k is 2, expected 0 to 1"),
        (True, lambda f: f.number("k"), "it.k is True, expected a number"),
        ("1", lambda f: f.number("k"), "it.k is '1', expected a number"),
        (1, lambda f: f.boolean("k"), "it.k is 1, expected true or false"),
        (None, lambda f: f.text("k"), "it.k is None, expected a string"),
        ("a\x7f", lambda f: f.text("k"), "it.k is 'a\\x7f': character '\\x7f' is not allowed"),
        ("a" * 1025, lambda f: f.text("k"), "it.k has 1025 characters, the limit is 1024"),
        ("b", lambda f: f.text("k", re.compile("a")), "it.k is 'b', expected the pattern a"),
        ({}, lambda f: f.items("k"), "it.k is {}, expected a list"),
        ([1], lambda f: f.integers("k", 2, 0, 1), "it.k has 1 entries, expected 2"),
        ([0, "x"], lambda f: f.integers("k", 2, 0, 1), "it.k[1] is 'x', expected an integer"),
        ([], lambda f: f.nested("k"), "it.k is [], expected an object"),
        (0, lambda f: f.finish(), "it has the unknown key 'k'"),
    ],
)
def test_refused(value: object, read: Callable[[Fields], object], message: str) -> None:
    with pytest.raises(Defect) as caught:
        read(Fields({"k": value}, "it"))
    assert str(caught.value) == message


def test_quotations_are_short() -> None:
    assert len(show([["x" * 10_000] * 10_000] * 1000)) < 300
