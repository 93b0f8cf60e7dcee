# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network, started by torchrun.

Every process draws the same batches and subnets, runs its parts of each batch and gets the mean of
all gradients, so all hold the same weights after every step. A part has batch statistics of its
own, whoever runs it: two processes give what one gives that runs both parts.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from aio.models.errors import WorkerError

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for the others; they all take the same time for a step."""


class Group:
    """The processes of a run; one alone by default.

    Attributes:
        rank: of this process, 0 for the one that writes files.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their sum over all processes.

        Raises:
            WorkerError: another process has ended or does not answer.
        """
        if self.size == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        try:
            dist.all_reduce(flat)
        except RuntimeError as error:
            raise WorkerError(
                f"process {self.rank} of {self.size} lost the others: {_first_line(error)}; "
                "start all again with --auto-resume, which goes on from the last checkpoint"
            ) from error
        sizes = [grad.numel() for grad in grads]
        for grad, summed in zip(grads, torch.split(flat, sizes), strict=True):
            grad.copy_(summed.view_as(grad))


@contextlib.contextmanager
def process_group(environ: Mapping[str, str] = os.environ) -> Iterator[Group]:
    """Join the processes that torchrun has started, if it has.

    Raises:
        WorkerError: they do not find each other.
    """
    size = int(environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    try:
        dist.init_process_group("gloo", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise WorkerError(f"the {size} processes do not find each other: {error}") from error
    try:
        yield Group(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
