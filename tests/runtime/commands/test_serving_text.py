# SPDX-License-Identifier: Apache-2.0
"""The table of `aio bench --serve`."""

from aio.runtime.benchmark.serving import ServingResult, Way
from aio.runtime.commands.serving_text import serving_text
from aio.runtime.printing import text_table

RESULT = ServingResult(
    model="digits",
    isa="avx2_fma3",
    threads=1,
    shape=(1, 1, 8, 8),
    request_bytes=572,
    calls=1000,
    cpus=2,
    rss_bytes=50 * 1024 * 1024,
    ways=(
        Way("infer", 0.2, 0.3, 0.0, 0.1, 0.0),
        Way("HTTP", 0.65, 0.9, 0.45, 0.4, 0.3),
        Way("echo", 0.1, 0.2, None, 0.05, None),
    ),
)


def test_text() -> None:
    lines = serving_text(RESULT, text_table).splitlines()
    assert lines[0] == (
        "digits: avx2_fma3, 1 thread(s), 2 CPUs, request of 572 bytes, 1000 calls of each in "
        "turns, about as many in a row"
    )
    assert lines[1] == "resident memory of the server after them: 50.0 MiB"
    assert lines[-2].split() == ["HTTP", "0.650", "0.900", "+0.450", "0.400", "+0.300"]
    assert lines[-1].split() == ["echo", "0.100", "0.200", "-", "0.050", "-"]
