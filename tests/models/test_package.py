# SPDX-License-Identifier: Apache-2.0
import pytest

import aio.models


def test_public_names_load_on_first_use() -> None:
    assert {name for name in aio.models.__all__ if getattr(aio.models, name) is not None} == {
        "AllInOne",
        "CheckpointError",
        "ExportError",
        "ModelError",
        "zoo",
    }
    assert issubclass(aio.models.ExportError, ValueError)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        aio.models.nothing  # noqa: B018
