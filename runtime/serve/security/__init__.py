# SPDX-License-Identifier: Apache-2.0
"""Who may ask: bearer tokens, and which names and origins a browser may use for the server."""
