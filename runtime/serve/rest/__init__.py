# SPDX-License-Identifier: Apache-2.0
"""The paths of the V2 protocol over HTTP."""
