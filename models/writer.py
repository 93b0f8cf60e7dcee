# SPDX-License-Identifier: Apache-2.0
"""The model file as bytes, the same ones for the same content.

It is a safetensors file. It is written here rather than by the safetensors package
because that package does not promise an order for the metadata's keys.
"""

import json
import os

from aio.models.errors import ExportError
from aio.models.files import replacing
from aio.models.manifest import Model

_HEADER_LIMIT = 16 * 2**20  # bytes a reader accepts


def write_model(model: Model, path: str | os.PathLike[str]) -> int:
    """Write a model file and return its size in bytes."""
    tensors = model.tensors()
    entries: dict[str, object] = {
        "__metadata__": {"format": "aio", "manifest": model.manifest_json()}
    }
    end = 0
    for name, values in tensors.items():
        start, end = end, end + values.nbytes
        entries[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that the tensors are aligned
    if len(header) > _HEADER_LIMIT:
        raise ExportError(f"the header has {len(header)} bytes, the limit is {_HEADER_LIMIT}")
    with replacing(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for values in tensors.values():
            file.write(values.astype("<f4", copy=False).tobytes())
    return 8 + len(header) + end
