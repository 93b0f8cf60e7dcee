# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from aio.models.losses import dense_loss, sparse_loss


def test_distillation_is_the_cross_entropy_with_the_teacher() -> None:
    logits, teacher = torch.randn(4, 3), torch.randn(4, 3)
    labels = torch.tensor([0, 1, 2, 0])
    expected = -(teacher.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(sparse_loss(logits, teacher, labels, 1.0), expected)
    by_label = torch.nn.functional.cross_entropy(logits, labels)
    mixed = sparse_loss(logits, teacher, labels, 0.25)
    torch.testing.assert_close(mixed, 0.25 * expected + 0.75 * by_label)


def test_teacher_gets_no_gradient() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    teacher = torch.randn(4, 3, requires_grad=True)
    loss = sparse_loss(logits, teacher, torch.zeros(4, dtype=torch.int64), 0.5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert teacher.grad is None


def test_sparse_loss_is_least_where_student_and_teacher_agree() -> None:
    teacher, labels = torch.randn(4, 3), torch.zeros(4, dtype=torch.int64)
    agreeing = sparse_loss(teacher, teacher, labels, 1.0)
    assert agreeing < sparse_loss(teacher + torch.randn(4, 3), teacher, labels, 1.0)


def test_dense_loss_smooths_labels() -> None:
    logits, labels = torch.tensor([[9.0, -9.0]]), torch.tensor([0])
    assert dense_loss(logits, labels, 0.0).item() == pytest.approx(0.0, abs=1e-6)
    assert dense_loss(logits, labels, 0.1).item() == pytest.approx(0.9, abs=1e-3)
