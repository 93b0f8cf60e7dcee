# SPDX-License-Identifier: Apache-2.0
"""What training and evaluation need of a network of several levels, whatever a level is."""

import abc
from collections.abc import Mapping, Sequence

from torch import nn


class Supernet(nn.Module, abc.ABC):
    """One set of weights that runs at several levels, 0 the largest.

    Attributes:
        ratios: the pruning ratio of each level.
    """

    ratios: tuple[float, ...]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that may have a level of their own; none where all go together."""
        return ()

    @abc.abstractmethod
    def set_level(self, level: int) -> None:
        """Use one level for the whole network."""

    @abc.abstractmethod
    def set_layer_levels(self, levels: Mapping[str, int] | Sequence[int]) -> None:
        """Use a level per layer."""

    @abc.abstractmethod
    def update_thresholds(self, ratios: Sequence[float] | None = None) -> None:
        """Make every level what its ratio says again, after scores have changed."""
