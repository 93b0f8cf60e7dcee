# SPDX-License-Identifier: Apache-2.0
"""An inference request with one held-out digit, for a first try with curl.

The digit is the one whose class leads by most at the level where it leads by least, so every
level answers it correctly with a comfortable margin.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from aio.models.data.digits import load_split
from aio.models.interpret import interpret


def example_request(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a V2 inference request for the digits model in a file.

    Args:
        path: a model file made by `aio train --dataset digits`.
    """
    with safe_open(path, "pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    split = load_split()
    images = torch.from_numpy(split.held_out_images)
    labels = torch.from_numpy(split.held_out_labels)
    with torch.no_grad():
        leads = [
            _lead(interpret(manifest, tensors, images, level), labels)
            for level in range(len(manifest["levels"]))
        ]
    chosen = images[int(torch.stack(leads).amin(dim=0).argmax())]
    image = {
        "name": manifest["inputs"][0]["name"],
        "shape": [1, *chosen.shape],
        "datatype": "FP32",
        "data": chosen.flatten().int().tolist(),
    }
    output = {"name": manifest["outputs"][0]["name"], "parameters": {"classification": 1}}
    return {"inputs": [image], "outputs": [output]}


def write_example_request(model: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write the request for a model file as one line of JSON."""
    Path(path).write_text(json.dumps(example_request(model)) + "\n", encoding="utf-8")


def _lead(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return by how much the true class leads the best other one, per image."""
    true = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    return logits[true] - logits.masked_fill(true, -torch.inf).amax(dim=1)
