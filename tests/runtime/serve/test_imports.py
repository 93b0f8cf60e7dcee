# SPDX-License-Identifier: Apache-2.0
"""What a serving process must not load: it costs memory that devices do not have."""

import subprocess
import sys

CODE = """
import sys
import aio.runtime.commands.serve
print(sorted({"numpy", "starlette", "uvicorn"} & set(sys.modules)))
import aio.runtime.runtime, aio.runtime.serve.announce, aio.runtime.serve.server
print(sorted({"torch", "sklearn", "rich", "aio.models"} & set(sys.modules)))
"""


def test_serving_loads_no_training_and_no_terminal_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]\n[]"
