# SPDX-License-Identifier: Apache-2.0
"""Losses of joint training: labels for the densest level, its answers for the others.

In-place distillation (US-Nets, arXiv 1903.05134): the teacher is the same network at its densest
level in the same step, so it costs no further forward pass.
"""

import torch.nn.functional as F
from torch import Tensor


def dense_loss(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Return the mean cross entropy with the labels."""
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def sparse_loss(logits: Tensor, teacher: Tensor, labels: Tensor, distillation: float) -> Tensor:
    """Return the mean of the cross entropies with the teacher and with the labels.

    Args:
        logits: answer of a sparser level.
        teacher: logits of the densest level; no gradient flows into them.
        labels: the true classes.
        distillation: weight of the teacher, 0 to 1; the labels have the rest.
    """
    soft = F.cross_entropy(logits, teacher.detach().softmax(dim=1))
    if distillation >= 1.0:
        return soft
    return distillation * soft + (1.0 - distillation) * F.cross_entropy(logits, labels)
