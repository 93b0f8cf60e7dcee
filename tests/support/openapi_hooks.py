# SPDX-License-Identifier: Apache-2.0
"""What schemathesis must be told of valid requests, because JSON Schema can't say it.

`data` has as many elements as `shape` says, and binary data follows the JSON whose length a header
gives. Loaded by schemathesis itself, through SCHEMATHESIS_HOOKS.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

LENGTH = "Inference-Header-Content-Length"
OCTETS = "application/octet-stream"
SHAPE = (1, 2, 2)
SIZE = 4
MOST = 3  # samples of a request, to keep them short
RAW = b"\x00\x00\x80\x3f" * SIZE
HALF = b"\x80\x3f"  # one of BF16, the only datatype that JSON has not
UNLOADED = "spare"  # the model to be unloaded, so that the other one stays for inference


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Make a valid request consistent; leave one that is wrong on purpose as it is."""
    name = case.operation.definition.raw["operationId"]
    if name == "repository_unload" and case.path_parameters:
        case.path_parameters["model"] = UNLOADED
    valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if valid and name.endswith("_infer"):
        _make_consistent(case)


def _make_consistent(case: Any) -> None:
    case.headers.pop(LENGTH, None)
    if case.media_type == OCTETS:
        case.headers[LENGTH] = "0"
        case.body = RAW
        return
    tail = b"".join(_fill(tensor) for tensor in case.body["inputs"])
    if tail:
        text = json.dumps(case.body).encode()
        case.headers.update({LENGTH: str(len(text)), "Content-Type": OCTETS})
        case.media_type, case.body = OCTETS, text + tail


def _fill(tensor: dict[str, Any]) -> bytes:
    """Give the tensor as much data as its shape says, and return what of it is binary."""
    batch = min(tensor["shape"][0], MOST)
    tensor["shape"] = [batch, *SHAPE]
    if "data" not in tensor:
        raw: bytes = HALF * (batch * SIZE)
        tensor["parameters"]["binary_data_size"] = len(raw)
        return raw
    data = tensor["data"]
    while isinstance(data[0], list):
        data = list(chain.from_iterable(data))
    tensor["data"] = (data * (batch * SIZE))[: batch * SIZE]
    return b""
