# SPDX-License-Identifier: Apache-2.0
"""From requests that wait to the one executor."""
