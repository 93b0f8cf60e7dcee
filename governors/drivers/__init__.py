# SPDX-License-Identifier: Apache-2.0
"""One module per source of a quantity; registry.py holds their order."""
