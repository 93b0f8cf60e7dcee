# SPDX-License-Identifier: Apache-2.0
"""One network, one set of weights, one score per block: every pruning ratio.

`AllInOne` wraps a copy of any torch network: prunable layers get block scores and a threshold
per level, batch normalisation gets parameters per level. A *level* is an index into `ratios`,
0 is the densest. A *ratio* is the fraction of the prunable weights that is zero, 0 to below 1.
"""

import copy
import fnmatch
import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aio.models.allocation import Allocation, uniform
from aio.models.errors import ModelError
from aio.models.masked import MaskedConv2d, MaskedLayer, MaskedLinear
from aio.models.ratios import check_ratios
from aio.models.selection import Layer, find_layers
from aio.models.settings import BLOCK_HEIGHTS
from aio.models.supernet import Supernet
from aio.models.switchable import SwitchableBatchNorm
from aio.models.trace import trace


class AllInOne(Supernet):
    """A network that runs at every one of its pruning ratios.

    Args:
        net: the network to wrap; it is copied and stays as it is.
        ratios: pruning ratios, increasing, in [0, 1).
        block_height: output channels of a block; or by pattern of layer names (as in file names),
            of which the first that fits counts, 16 for layers that fit none.
        allocation: how many blocks each layer keeps at each ratio.

    Attributes:
        net: the wrapped copy.
        ratios: the pruning ratio of each level.

    Raises:
        ModelError: the ratios are not usable, or the network can't be wrapped.
    """

    def __init__(
        self,
        net: nn.Module,
        ratios: Sequence[float] = (0.0, 0.5, 0.7, 0.8, 0.9),
        *,
        block_height: int | Mapping[str, int] = 16,
        allocation: Allocation = uniform,
    ) -> None:
        super().__init__()
        self.ratios = check_ratios(ratios)
        self._block_heights = check_block_heights(block_height)
        self.net = copy.deepcopy(net)
        self._allocation = allocation
        layers = find_layers(trace(self.net), self._block_height)
        self._layers = {layer.name: layer for layer in layers}
        self._replace_modules()
        self._levels: dict[str, int] = {}
        self.update_thresholds()
        self.set_level(0)

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network at the current level, and return what it returns."""
        return self.net(*inputs)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that depend on the level, in execution order."""
        return tuple(self._levels)

    @property
    def layer_levels(self) -> tuple[int, ...]:
        """The level of each layer, in the order of `layer_names`."""
        return tuple(self._levels.values())

    @property
    def dense_layers(self) -> dict[str, str]:
        """Layers that are not pruned at any level, and why."""
        return {
            name: layer.dense_reason
            for name, layer in self._layers.items()
            if layer.dense_reason is not None
        }

    def set_level(self, level: int) -> None:
        """Use one level for the whole network."""
        self._check_level(level)
        self.set_layer_levels(dict.fromkeys(self._switches(), level))

    def set_layer_levels(self, levels: Mapping[str, int] | Sequence[int]) -> None:
        """Use a level per layer; its batch normalisation follows.

        Args:
            levels: by layer name, layers not named keep theirs; or one per `layer_names`.
        """
        if not isinstance(levels, Mapping):
            if len(levels) != len(self._levels):
                raise ModelError(f"{len(levels)} levels for {len(self._levels)} layers")
            levels = dict(zip(self._levels, levels, strict=True))
        switches = self._switches()
        for name, level in levels.items():
            if name not in switches:
                raise ModelError(f"no layer {name!r} depends on the level")
            self._check_level(level)
        for name, level in levels.items():
            self._levels[name] = level
            for module in switches[name]:
                module.level = level

    def masked_layers(self) -> dict[str, MaskedLayer]:
        """Return the pruned layers by name, in execution order."""
        found = {name: self.net.get_submodule(name) for name in self._layers}
        return {name: layer for name, layer in found.items() if isinstance(layer, MaskedLayer)}

    def update_thresholds(self, ratios: Sequence[float] | None = None) -> None:
        """Make every layer keep its number of blocks again, after scores have changed.

        Args:
            ratios: of each level for now, not decreasing; those of the model if None.
        """
        layers = self.masked_layers()
        for layer in layers.values():
            layer.separate_ties()
        for name, kept in self._allocation(layers, ratios or self.ratios).items():
            layers[name].set_kept_blocks(kept)

    def restart_levels(self) -> None:
        """Let every level start from the densest one.

        Blocks are ranked by the magnitude of their weights of now, and each level's batch
        normalisation is a copy of level 0's.
        """
        for layer in self.masked_layers().values():
            layer.reset_scores()
        for module in self.net.modules():
            if isinstance(module, SwitchableBatchNorm):
                module.restart_levels()
        self.update_thresholds()

    def kept_weights(self) -> list[int]:
        """Return the prunable weights that are kept, per level."""
        per_layer = [layer.kept_weights() for layer in self.masked_layers().values()]
        return [sum(counts) for counts in zip(*per_layer, strict=True)] or [0] * len(self.ratios)

    def prunable_weights(self) -> int:
        """Return the number of weights that a level may prune."""
        return sum(layer.weight.numel() for layer in self.masked_layers().values())

    def export(
        self,
        path: str | os.PathLike[str],
        example_input: Tensor | Sequence[Tensor],
        metrics: Mapping[str, Sequence[float]] | None = None,
        **options: Any,
    ) -> None:
        """Write the model file; see `aio.models.export.export_model` for the options.

        Args:
            path: file to write, replaced at once when it exists.
            example_input: a batch as the network takes it, (N, C, H, W) or (N, features), or a
                tuple of them for several inputs; fixes all but N.
            metrics: numbers per level by name, for example {"accuracy": [0.99, 0.98]}.
            options: name, input_names, output_names, labels, provenance and the like.
        """
        from aio.models.export import export_model  # noqa: PLC0415 - export imports this module

        export_model(self, path, example_input, metrics=metrics, **options)

    def _block_height(self, layer: str) -> int:
        for pattern, height in self._block_heights.items():
            if fnmatch.fnmatchcase(layer, pattern):
                return height
        return BLOCK_HEIGHTS[0]

    def _check_level(self, level: int) -> None:
        if not 0 <= level < len(self.ratios):
            raise ModelError(
                f"level {level} is out of range, levels are 0 to {len(self.ratios) - 1}"
            )

    def _replace_modules(self) -> None:
        prune = self.ratios[-1] > 0
        levels = len(self.ratios)
        for layer in self._layers.values():
            module = self.net.get_submodule(layer.name)
            if prune and layer.dense_reason is None:
                self._replace(module, _masked(module, levels, self._block_height(layer.name)))
            for name in layer.batch_norms:
                bn = self.net.get_submodule(name)
                assert isinstance(bn, _BatchNorm)
                self._replace(bn, SwitchableBatchNorm(bn, levels))
        if prune and not self.masked_layers():
            reasons = ", ".join(f"{name} ({why})" for name, why in self.dense_layers.items())
            raise ModelError(
                f"no layer of {type(self.net).__name__} can be pruned: {reasons or 'it has none'}; "
                "use ratios=(0.0,) for a dense model"
            )

    def _replace(self, old: nn.Module, new: nn.Module) -> None:
        """Replace a module under every name it has."""
        names = [n for n, m in self.net.named_modules(remove_duplicate=False) if m is old]
        for name in names:
            if not name:  # the network is this one layer
                self.net = new
                continue
            parent, _, attribute = name.rpartition(".")
            setattr(self.net.get_submodule(parent), attribute, new)

    def _switches(self) -> dict[str, list[MaskedLayer | SwitchableBatchNorm]]:
        """Return the modules that follow a layer's level, for layers that have any."""
        return {
            name: switches
            for name, layer in self._layers.items()
            if (switches := self._switches_of(layer))
        }

    def _switches_of(self, layer: Layer) -> list[MaskedLayer | SwitchableBatchNorm]:
        modules = [self.net.get_submodule(name) for name in {layer.name, *layer.batch_norms}]
        return [m for m in modules if isinstance(m, MaskedLayer | SwitchableBatchNorm)]


def check_block_heights(block_height: int | Mapping[str, int]) -> dict[str, int]:
    """Return block heights by pattern.

    Raises:
        ModelError: the executor has no kernel for one.
    """
    by_pattern = {"*": block_height} if isinstance(block_height, int) else dict(block_height)
    for height in by_pattern.values():
        if height not in BLOCK_HEIGHTS:
            raise ModelError(f"block_height {height} is not one of {BLOCK_HEIGHTS}")
    return by_pattern


def _masked(module: nn.Module, levels: int, block_height: int) -> MaskedLayer:
    if isinstance(module, nn.Conv2d):
        return MaskedConv2d(module, levels, block_height)
    assert isinstance(module, nn.Linear)
    return MaskedLinear(module, levels, block_height)
