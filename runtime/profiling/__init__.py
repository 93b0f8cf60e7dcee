# SPDX-License-Identifier: Apache-2.0
"""How a model behaves across governors and clocks: what `aio profile` measures and writes.

`points` sets clocks, `subjects` answer, `recording` measures them in turns, `statistics` makes
figures of the samples, `document` and the modules beside it write them. See docs/profiling.md.
"""
