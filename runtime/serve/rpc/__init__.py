# SPDX-License-Identifier: Apache-2.0
"""The V2 protocol over gRPC (`pip install 'aio-runtime[grpc]'`), loaded only when asked for."""
