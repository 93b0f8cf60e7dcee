# SPDX-License-Identifier: Apache-2.0
"""One module per engine, and the worker that runs one of them in a process of its own.

The modules import nothing of ours, so that an environment that can't hold this package can run them
too. Each has `version()`, and `load(model, threads, batch)`, which takes the path of an ONNX file
with one input and returns what answers: a float32 array (N, C, H, W) gives the first output. Both
import the engine and raise ModuleNotFoundError where it is not installed.
"""
