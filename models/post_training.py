# SPDX-License-Identifier: Apache-2.0
"""A model file of several ratios from a network that was trained densely.

Blocks are ranked by their weights, and the statistics of every layer are measured again (see
`statistics`). Nothing is trained, so sparse levels lose accuracy; how much is measured.
"""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aio.models.allinone import AllInOne
from aio.models.allocation import allocation as named_allocation
from aio.models.bench_process import accuracy
from aio.models.data.image_folder import FolderImages, find
from aio.models.errors import ModelError
from aio.models.export import build_model
from aio.models.export_check import check_answers
from aio.models.manifest import Model
from aio.models.permutation import permute_channels
from aio.models.statistics import correct_statistics, corrected_nodes
from aio.models.trace import evaluating
from aio.models.writer import write_model

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
BATCH = 64
MOST_TEST_IMAGES = 5000


@dataclass(frozen=True)
class Calibration:
    """Images to measure statistics on, and labelled ones to judge by, if there are any."""

    images: Tensor
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    labels: tuple[str, ...] = ()

    def batches(self) -> Iterator[list[Tensor]]:
        """Yield the images for statistics, in batches as equal as can be."""
        for part in self.images.chunk(-(-len(self.images) // BATCH)):
            yield [part]


def read_images(
    calibrate: Path, test: Path | None, count: int, side: int, normalise: Normalisation | None
) -> Calibration:
    """Return images of folders or .npz files.

    Raises:
        ModelError: there are none, or they can't be decoded.
    """
    if calibrate.is_file():
        images, _ = _arrays(calibrate)
        found = Calibration(_spread(images, count))
    else:
        folder = find(calibrate)
        found = Calibration(
            _decoded([path for path, _ in folder.train], count, side, normalise),
            _decoded([path for path, _ in folder.held_out], MOST_TEST_IMAGES, side, normalise),
            _spread(torch.tensor([label for _, label in folder.held_out]), MOST_TEST_IMAGES),
            folder.labels,
        )
    if len(found.images) < 2:
        raise ModelError(f"{calibrate} has {len(found.images)} images, too few for statistics")
    if test is None:
        return found
    if test.is_file():
        images, labels = _arrays(test)
        if labels is None:
            raise ModelError(f"{test} has no array 'labels' to judge by")
        return Calibration(found.images, images, labels, found.labels)
    folder = find(test)
    members = [*folder.train, *folder.held_out]
    return Calibration(
        found.images,
        _decoded([path for path, _ in members], MOST_TEST_IMAGES, side, normalise),
        _spread(torch.tensor([label for _, label in members]), MOST_TEST_IMAGES),
        folder.labels,
    )


def dense_content(
    net: nn.Module,
    data: Calibration,
    ratios: Sequence[float],
    allocation: str,
    *,
    name: str,
    permute: bool,
) -> Model:
    """Return the content of a file whose levels have the statistics of the dense network."""
    example = data.images[:2]
    try:
        with evaluating(net), torch.no_grad():
            classes = net(example).shape[-1]
    except RuntimeError as error:
        raise ModelError(
            f"the network does not take images of shape {tuple(example.shape[1:])}: "
            f"{str(error).splitlines()[0]}; is --side right?"
        ) from error
    model = AllInOne(net, ratios, allocation=named_allocation(allocation, {})).eval()
    if permute:
        permute_channels(model)
    content = build_model(
        model,
        [example],
        name=name,
        metrics={},
        input_names=None,
        output_names=None,
        labels=data.labels if len(data.labels) == classes else (),
        provenance={"made_by": "aio export", "allocation": allocation, "permuted": permute},
    )
    check_answers(model, content, [example])
    return content


def finish(
    content: Model, levels: Sequence[int], data: Calibration, output: Path
) -> dict[str, Any]:
    """Put levels right, write the file, judge it by the executor and write that into the file.

    Returns:
        What was found, as plain data: ratios, accuracy of each or None, size, notes.
    """
    shape = next(iter(content.inputs.values()))
    if len(content.inputs) != 1 or tuple(data.images.shape[1:]) != shape:
        raise ModelError(
            f"images of shape {tuple(data.images.shape[1:])} for a model that takes {shape}; "
            "is --side right?"
        )
    normalised = any("scale" in node.tensors for node in content.nodes)
    correct_statistics(content, data.batches, levels)
    notes = (
        []
        if normalised
        else [
            "the network has no batch normalisation: mean and spread of the channels of pruned "
            "layers are put right instead"
        ]
    )
    if not any("score" in node.tensors for node in content.nodes):
        notes.append("no layer is pruned: all levels are the dense network")
    size_bytes = write_model(content, output)
    found: list[float] | None = None
    tested = 0
    if data.test_images is not None and data.test_labels is not None:
        tested = len(data.test_labels)
        scratch = output.with_name(f"{output.name}.npz")
        found = accuracy(output, data.test_images, data.test_labels, scratch)["accuracy"]
        content.metrics = {"accuracy": found}
        size_bytes = write_model(content, output)
    return {
        "ratios": list(content.ratios),
        "accuracy": found,
        "test_images": tested,
        "size_bytes": size_bytes,
        "corrected_layers": len(corrected_nodes(content)),
        "notes": notes,
    }


def _arrays(path: Path) -> tuple[Tensor, Tensor | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            images = torch.from_numpy(file["images"].astype(np.float32))
            labels = torch.from_numpy(file["labels"].astype(np.int64)) if "labels" in file else None
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not an .npz file with an array 'images': {error}") from error
    if not len(images) or (labels is not None and labels.shape != (len(images),)):
        raise ModelError(f"{path} has images of shape {tuple(images.shape)} and labels that differ")
    return images, labels


def _decoded(
    paths: Sequence[Path], count: int, side: int, normalise: Normalisation | None
) -> Tensor:
    chosen = _spread(torch.arange(len(paths)), count)
    pixels = FolderImages(paths, side).at(chosen)
    if normalise is None:
        return pixels
    mean, deviation = (torch.tensor(part).reshape(1, 3, 1, 1) for part in normalise)
    return (pixels - mean) / deviation


def _spread(values: Tensor, count: int) -> Tensor:
    """Return at most `count` values, spread over all."""
    if len(values) <= count:
        return values
    return values[torch.arange(count) * len(values) // count]
