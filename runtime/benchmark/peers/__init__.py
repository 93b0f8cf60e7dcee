# SPDX-License-Identifier: Apache-2.0
"""Other engines on the same network and input, for comparison only; never needed otherwise."""

from aio.runtime.benchmark.peers.onnxruntime_peer import OnnxRuntimePeer

__all__ = ["OnnxRuntimePeer"]
