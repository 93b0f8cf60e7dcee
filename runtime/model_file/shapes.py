# SPDX-License-Identifier: Apache-2.0
"""Shapes of every value of the graph, and the memory and work they ask for.

Known before any native code sees the file, so a hostile graph is refused for what it would
allocate or compute, not after it did.
"""

from collections.abc import Mapping

from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.manifest import Manifest
from aio.runtime.model_file.ops import Shape, Sides

MAX_ACTIVATION_BYTES = 1 << 30
_CHANNEL_PADDING = 16
_FLOAT_BYTES = 4


def infer_shapes(manifest: Manifest, weights: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shape of every input and node by name; `weights` by node name.

    Raises:
        Defect: a node does not fit its inputs or its weight, or a limit is exceeded.
    """
    shapes: dict[str, Shape] = {spec.name: spec.shape for spec in manifest.inputs}
    for node in manifest.nodes:
        inputs = [shapes[name] for name in node.inputs]
        try:
            shapes[node.name] = node.operator.infer(node.attrs, inputs, weights.get(node.name, ()))
        except Defect as defect:
            raise Defect(f"node {show(node.name)} ({node.op}): {defect}") from None
    _check_labels(manifest, shapes)
    _check_activations(manifest, shapes)
    return shapes


def _check_labels(manifest: Manifest, shapes: Mapping[str, Shape]) -> None:
    for output in manifest.outputs:
        features = shapes[output.node][0]
        if output.labels is not None and len(output.labels) != features:
            raise Defect(
                f"output {show(output.name)} has {len(output.labels)} labels for "
                f"{features} features"
            )


def _check_activations(manifest: Manifest, shapes: Mapping[str, Shape]) -> None:
    """Bound the values that must be alive at the same time, with their padding and halo."""
    halos = _halos(manifest)
    last_use = {name: i for i, node in enumerate(manifest.nodes) for name in node.inputs}
    for output in manifest.outputs:
        last_use[output.node] = len(manifest.nodes)
    sizes = {spec.name: _value_bytes(spec.shape, halos[spec.name]) for spec in manifest.inputs}
    alive = sum(sizes.values())
    for i, node in enumerate(manifest.nodes):
        sizes[node.name] = _value_bytes(shapes[node.name], halos[node.name])
        alive += sizes[node.name]
        if alive > MAX_ACTIVATION_BYTES:
            raise Defect(
                f"activations need {alive} bytes at node {show(node.name)} of shape "
                f"{list(shapes[node.name])}, the limit is {MAX_ACTIVATION_BYTES}"
            )
        for name in {*node.inputs, node.name}:
            if last_use.get(name, -1) <= i:
                alive -= sizes.pop(name, 0)


def _halos(manifest: Manifest) -> dict[str, Sides]:
    """Return the widest border that the readers of each value want around it."""
    halos: dict[str, Sides] = {spec.name: (0, 0, 0, 0) for spec in manifest.inputs}
    for node in manifest.nodes:
        halos[node.name] = (0, 0, 0, 0)
        wanted = node.operator.halo(node.attrs)
        for name in node.inputs:
            top, left, bottom, right = map(max, halos[name], wanted)
            halos[name] = (top, left, bottom, right)
    return halos


def _value_bytes(shape: Shape, halo: Sides) -> int:
    channels = -(-shape[0] // _CHANNEL_PADDING) * _CHANNEL_PADDING
    if len(shape) == 1:
        return _FLOAT_BYTES * channels
    top, left, bottom, right = halo
    return _FLOAT_BYTES * channels * (shape[1] + top + bottom) * (shape[2] + left + right)
