# SPDX-License-Identifier: Apache-2.0
"""The version of the installed distribution, which is written down in pyproject.toml only."""

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "aio-runtime"


def package_version() -> str:
    """Return the distribution's version, "unknown" for a source tree that is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
