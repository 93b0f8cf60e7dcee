# SPDX-License-Identifier: Apache-2.0
"""Model files read back, and given further levels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from aio.models.blocks import thresholds_for, weights_per_block
from aio.models.errors import ModelError
from aio.models.manifest import DEFAULT_BLOCK_HEIGHT, Model, Node, Output
from aio.models.ratios import check_ratios


def read_model(path: Path) -> Model:
    """Return the content of a model file.

    What is read is trusted no further than training needs: the runtime checks the file that is
    made of it again.

    Raises:
        ModelError: it is no model file.
    """
    try:
        with safe_open(path, "np") as file:
            manifest = json.loads((file.metadata() or {})["manifest"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        nodes = [
            Node(n["name"], n["op"], list(n["inputs"]), dict(n["attrs"])) for n in manifest["nodes"]
        ]
        by_name = {node.name: node for node in nodes}
        for name, values in tensors.items():
            owner, _, part = name.rpartition(".")
            by_name[owner].tensors[part] = values.astype(np.float64)
        levels = manifest["levels"]
        shared = set.intersection(*(set(level["metrics"]) for level in levels))
        return Model(
            name=manifest["name"],
            producer=manifest["producer"],
            inputs={spec["name"]: tuple(spec["shape"]) for spec in manifest["inputs"]},
            outputs=[
                Output(o["name"], o["node"], o.get("labels", ())) for o in manifest["outputs"]
            ],
            ratios=check_ratios([level["ratio"] for level in levels]),
            metrics={m: [level["metrics"][m] for level in levels] for m in sorted(shared)},
            nodes=nodes,
            provenance=manifest["provenance"],
        )
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a model file: {error!r}") from error


def add_ratios(model: Model, added: Sequence[float]) -> tuple[Model, list[int]]:
    """Return a model with further levels, and their indices.

    A layer keeps what lies between its neighbouring levels, in proportion: the allocation of the
    model goes on. Statistics are those of the next denser level until they are corrected. What was
    measured of the old levels is left out, as levels change their numbers.

    Raises:
        ModelError: a ratio is there already, or out of range.
    """
    ratios = check_ratios(sorted({*model.ratios, *added}))
    if len(ratios) != len(model.ratios) + len(added):
        raise ModelError(f"ratios {list(added)}: the model has {list(model.ratios)} already")
    sources = [max(0, sum(old <= ratio for old in model.ratios) - 1) for ratio in ratios]
    for node in model.nodes:
        if "score" in node.tensors:
            node.tensors["threshold"] = _thresholds(node, model.ratios, ratios)
        for part in ("scale", "bias"):
            if part in node.tensors and node.op != "layer_norm":
                node.tensors[part] = node.tensors[part][sources]
    result = Model(
        name=model.name,
        producer=model.producer,
        inputs=model.inputs,
        outputs=model.outputs,
        ratios=ratios,
        metrics={},
        nodes=model.nodes,
        provenance={**model.provenance, "added_ratios": sorted(added)},
    )
    return result, [ratios.index(ratio) for ratio in added]


def _thresholds(
    node: Node, old: Sequence[float], new: Sequence[float]
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Return a threshold for each new level; those of the old ones stay what they are."""
    score = torch.from_numpy(node.tensors["score"]).float()
    known = torch.from_numpy(node.tensors["threshold"]).float()
    height = int(node.attrs.get("block_height", DEFAULT_BLOCK_HEIGHT))
    sizes = weights_per_block(node.tensors["weight"].shape, height).flatten()
    order = torch.argsort(score.flatten(), descending=True)
    ends = sizes[order].cumsum(0).double()  # weights kept with this many best blocks
    at = [float(sizes[(score > limit).flatten()].sum()) for limit in known]
    # At ratio 1 nothing would be left.
    wanted = np.interp(new, [*old, 1.0], [*at, 0.0])
    counts = [max(1, int((ends - weights).abs().argmin()) + 1) for weights in wanted]
    for level in range(1, len(counts)):
        counts[level] = min(counts[level], counts[level - 1])
    found = thresholds_for(score, counts)
    for level, ratio in enumerate(new):
        if ratio in old:
            found[level] = known[old.index(ratio)]
    return found.double().numpy()
