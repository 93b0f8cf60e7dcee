# SPDX-License-Identifier: Apache-2.0
"""Sockets and HTTP connections, with bounds on size and time."""
