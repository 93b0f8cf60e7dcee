# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.model_file.defect import Defect
from aio.runtime.model_file.strict_json import MAX_VALUES, parse

DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(document=DOCUMENTS)
def test_json_of_python_is_read_back(document: object) -> None:
    text = json.dumps(document)
    assert parse(text, "it") == document
    assert parse(text.encode(), "it") == document


@given(content=st.binary())
def test_bytes_are_json_or_a_defect(content: bytes) -> None:
    try:
        value = parse(content, "it")
    except Defect as defect:
        assert str(defect)  # noqa: PT017 - either outcome is right
    else:
        assert value == json.loads(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not JSON: Expecting value at character 0"),
        ("[1,]", "it is not JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "key 'c' appears twice in one object"),
        ("[NaN]", "NaN is not a JSON number"),
        ("[Infinity]", "Infinity is not a JSON number"),
        ("[-1e400]", "number -1e400 does not fit"),
        ("[" * 100_000, "it is nested too deeply"),
        ("1" * 33, "a number has 33 characters, the limit is 32"),
        ("[" + "0," * MAX_VALUES + "0]", "it holds about 500001 JSON values, the limit is 500000"),
        ('"\n"', "it is not JSON: Invalid control character"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(Defect) as caught:
        parse(text, "it")
    assert str(caught.value).startswith(message)
