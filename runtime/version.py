# SPDX-License-Identifier: Apache-2.0
"""The version of the installed distribution, which is written down in pyproject.toml only."""

DISTRIBUTION = "aio-runtime"


def package_version() -> str:
    """Return the distribution's version, "unknown" for a source tree that is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
