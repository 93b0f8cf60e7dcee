# SPDX-License-Identifier: Apache-2.0
"""The live page: what it shows, as plain data and as a stream; its controls; its files."""
