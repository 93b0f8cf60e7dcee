# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of a network's weights, which is steadier than the last ones."""

import torch
from torch import Tensor, nn

from aio.models.masked import MaskedLayer


class WeightAverage:
    """The average of all parameters but scores: masks stay those of the last step.

    The decay rises from small values at the start, so that initial weights are soon forgotten.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        self._parameters = _averaged(net)
        self._average = {name: p.detach().clone() for name, p in self._parameters.items()}

    def update(self) -> None:
        """Take in the weights of now."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                self._average[name].lerp_(parameter, 1.0 - decay)

    def restart(self) -> None:
        """Forget all but the weights of now, after a change that is no step."""
        self._steps = 0
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                self._average[name].copy_(parameter)

    def apply(self) -> None:
        """Put the average in the place of the weights."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(self._average[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that later steps depend on."""
        return {"": torch.tensor(self._steps), **self._average}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self._steps = int(state[""])
        for name, average in self._average.items():
            average.copy_(state[name])


def _averaged(net: nn.Module) -> dict[str, nn.Parameter]:
    scores = {id(m.score) for m in net.modules() if isinstance(m, MaskedLayer)}
    return {name: p for name, p in net.named_parameters() if id(p) not in scores}
