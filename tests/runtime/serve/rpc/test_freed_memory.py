# SPDX-License-Identifier: Apache-2.0
"""Memory of messages is mapped once, not for each of them; in a process of its own."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from aio.runtime.serve.rpc.freed_memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def messages(count):
    for _ in range(count):
        [bytes([7]) * 602_112 for _ in range(3)]

if sys.argv[1] == "keep":
    keep_freed_memory()
messages(5)
before = faults()
messages(50)
print(faults() - before)
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_is_not_mapped_for_every_message() -> None:
    assert 10 * page_faults("keep") < page_faults("give back")
