# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aio.models import ModelError
from aio.models.trace import evaluating, place_of, trace


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.drop = nn.Dropout(0.5)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(x)  # overwrites x
        out = F.dropout(self.drop(self.conv(out)), 0.5, self.training)
        return out + x


def test_graph_has_no_dropout_and_no_in_place_operator() -> None:
    net = nn.Sequential(nn.Conv2d(2, 2, 1), Block())
    traced = trace(net)
    assert "drop" not in str(traced.graph)
    x = torch.randn(2, 2, 3, 3)
    net.eval()
    torch.testing.assert_close(traced(x.clone()), net(x.clone()))
    add = next(node for node in traced.graph.nodes if node.name.startswith("add"))
    assert {str(source.target) for source in add.all_input_nodes} == {"1.relu", "1.conv"}
    assert place_of(add) == "1"


def test_modes_are_put_back() -> None:
    net = Block()
    net.train()
    net.conv.eval()
    with evaluating(net):
        assert not net.training
    trace(net)
    assert net.training
    assert not net.conv.training
    assert net.drop.training


def test_dropout_that_is_always_on_stays() -> None:
    class Always(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, True)

    assert "dropout" in str(trace(Always()).graph)


def test_control_flow_on_data_is_refused() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match="Branch can't be traced"):
        trace(Branch())
