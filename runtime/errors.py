# SPDX-License-Identifier: Apache-2.0
"""Errors of the runtime. They know nothing of HTTP; `serve/` maps them to status codes."""


class AioError(Exception):
    """Base of every error this package raises on purpose."""


class ModelFileError(AioError):
    """A model file is not usable; the message names the file, the defect and where it is."""


class InputError(AioError, ValueError):
    """An argument of `infer` or `load` is wrong; the message names the value and the limit."""


class ClosedError(AioError):
    """The runtime was closed and can't be used any more."""


class ForkError(AioError):
    """The runtime was loaded before a fork; its threads live in the parent process only."""
