# SPDX-License-Identifier: Apache-2.0
"""Errors of training and export. Most are ValueErrors: the input, not the program, is wrong."""


class ModelError(ValueError):
    """A network or a setting can't be used; the message names it, the limit and the remedy."""


class ExportError(ModelError):
    """A network can't be written as a model file; the message names the operator and its place."""


class CheckpointError(ModelError):
    """A checkpoint is damaged, or belongs to a run with other settings."""


class WorkerError(ConnectionError):
    """A process of a run with several has ended; nothing is wrong with the input."""
