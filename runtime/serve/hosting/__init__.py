# SPDX-License-Identifier: Apache-2.0
"""Models by name and version, and what the server needs of a runtime."""
