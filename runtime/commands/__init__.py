# SPDX-License-Identifier: Apache-2.0
"""Sub-commands of `aio` that belong to inference; see `aio.runtime.cli` for what one is."""
