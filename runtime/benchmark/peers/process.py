# SPDX-License-Identifier: Apache-2.0
"""Another engine in a child process, which is stopped whenever it is not its turn.

Engines keep threads that spin for a while after an inference. In a process of its own that is
stopped they can't take time from whoever is measured next.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, final

import numpy as np
from numpy.typing import NDArray

from aio.runtime.benchmark.peers import engines
from aio.runtime.errors import AioError

WORKER = Path(engines.__file__).with_name("worker.py")
ANSWER_TIMEOUT_S = 900.0  # converting a large network on a slow machine takes minutes
_REASON_LINES = 3


class PeerMissingError(AioError):
    """The engine is not installed; `module` is what is missing."""

    def __init__(self, module: str) -> None:
        super().__init__(f"no module {module}")
        self.module = module


class PeerFailedError(AioError):
    """The engine can't do it; the message is the end of what it said."""


@final
class PeerProcess:
    """An engine ready to be loaded with models; use it in a `with` statement.

    Args:
        python: interpreter that has the engine.
        engine: name of a module in `engines`, or on the PYTHONPATH.
        threads: how many threads it may use.
        batch: samples per call.
        folder: where files are exchanged.

    Raises:
        PeerMissingError: the engine is not installed.
        PeerFailedError: it does not start.
    """

    def __init__(self, python: Path, engine: str, threads: int, batch: int, folder: Path) -> None:
        self.threads = threads
        self._folder = folder
        self._log: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
        numbers = [str(number) for number in (threads, batch, os.getpid())]
        command = [str(python), str(WORKER), engine, *numbers]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            )
        except OSError as error:
            self._log.close()
            raise PeerFailedError(f"{python} does not run: {error.strerror}") from error
        try:
            hello = self._read()
            if "missing" in hello:
                raise PeerMissingError(hello["missing"])
            self.version: str = hello["version"]
            self._pause()
        except BaseException:
            self.close()
            raise

    def load(self, model: Path) -> int:
        """Load an ONNX file and return its number."""
        number: int = self._ask({"do": "load", "model": str(model)})["model"]
        return number

    def answer(self, number: int, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the first output for x, which is also what `time` uses from now on."""
        paths = {name: self._folder / f"{self._process.pid}.{name}.npy" for name in ("x", "y")}
        np.save(paths["x"], x)
        self._ask({"do": "answer", "model": number, **{k: str(v) for k, v in paths.items()}})
        y: NDArray[np.float32] = np.load(paths["y"])
        for path in paths.values():
            path.unlink()
        return y

    def latency_ms(self, number: int, *, warmup_ms: float, repeats: int) -> float:
        """Return the median latency of some runs, after others that take so long together."""
        request = {"do": "time", "model": number, "warmup_ms": warmup_ms, "repeats": repeats}
        latency_ms: float = self._ask(request)["ms"]
        return latency_ms

    def memory(self) -> tuple[int, int]:
        """Return the bytes resident now, and the most there ever were."""
        answer = self._ask({"do": "memory"})
        return answer["rss_bytes"], answer["peak_rss_bytes"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):  # a request it did not live to read
                stream.close()

    def __enter__(self) -> "PeerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailedError(self._last_words()) from None
        answer = self._read()
        self._pause()
        return answer

    def _pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def _read(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], ANSWER_TIMEOUT_S)
        if not ready:
            raise PeerFailedError(f"no answer for {ANSWER_TIMEOUT_S:.0f} s")
        line = stdout.readline()
        if not line:
            raise PeerFailedError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """Return the end of standard error of a process that has ended."""
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return "; ".join(said[-_REASON_LINES:]) or f"it ended with code {code}"
