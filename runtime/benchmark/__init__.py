# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed: levels of a model, and kernels against the peak of the core.

Machines drift, so everything that is compared is interleaved in rounds, and what is reported are
medians over the rounds.
"""
