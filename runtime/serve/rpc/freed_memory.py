# SPDX-License-Identifier: Apache-2.0
"""Memory of messages that were answered, kept for the next ones.

glibc gives what is freed at the end of its heap back to the kernel at once, and the next message
has to have it zeroed and mapped anew, page by page: with the tensor of an image (602 KB) that took
half of the time of a call. gRPC has no buffers of its own that could be used again.
"""

import ctypes

MIB = 1 << 20
KEPT_BYTES = 8 * MIB  # at most, at the end of the heap
LARGEST_BYTES = 4 * MIB  # a block beyond this is mapped by itself, and given back

# Of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Let the process keep some of what it frees, where its C library can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_BYTES)
