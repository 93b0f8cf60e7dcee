# SPDX-License-Identifier: Apache-2.0
"""Latency models on disk, so that only the first load of a model on a device measures.

One JSON file per key in the user's cache folder. A file that is unreadable, damaged or of another
key is as good as none: nothing here raises, what went wrong is logged.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from aio.runtime.latency_model import LatencyModel

CACHE_VERSION = 3
MAX_FILE_BYTES = 16 << 20
MIN_TIME = 1e-9
MAX_NUMBER = 1e18

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Everything a measured latency depends on.

    `max_khz` is the hardware's, None for a driver that only knows the highest clock it saw.
    `native_build` changes whenever the native core is built again.
    """

    model_hash: str
    levels: int
    layers: int
    cpu: str
    isa: str
    threads: int
    clock_driver: str
    max_khz: int | None
    native_build: str

    @property
    def file_name(self) -> str:
        """Return the name of the key's file."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"latency-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def default_cache_dir(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return AIO_CACHE_DIR, else `aio` in XDG_CACHE_HOME or ~/.cache; None without a home."""
    if environ.get("AIO_CACHE_DIR"):
        return Path(environ["AIO_CACHE_DIR"])
    cache_home = Path(environ.get("XDG_CACHE_HOME", ""))
    if cache_home.is_absolute():  # the XDG specification has relative ones ignored
        return cache_home / "aio"
    try:
        return Path.home() / ".cache" / "aio"
    except RuntimeError:
        return None


def load(folder: Path, key: CacheKey) -> LatencyModel | None:
    """Return the stored model of the key, None if there is no good one."""
    path = folder / key.file_name
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        return _decode(content, key)
    except FileNotFoundError:
        return None
    except OSError as error:
        _logger.warning("can't read the calibration %s: %s", path, error.strerror or error)
    except (ValueError, RecursionError) as error:
        _logger.warning("ignoring the damaged calibration %s: %s", path, error)
    return None


def store(folder: Path, key: CacheKey, model: LatencyModel) -> bool:
    """Write the model as a whole or not at all; return whether it worked."""
    document = {"version": CACHE_VERSION, "key": asdict(key), "model": asdict(model)}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(folder / key.file_name, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        _logger.warning("can't keep the calibration in %s: %s", folder, error.strerror or error)
        return False
    return True


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _decode(content: bytes, key: CacheKey) -> LatencyModel:
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    document = json.loads(content.decode("utf-8"))
    if not isinstance(document, dict) or document.get("version") != CACHE_VERSION:
        raise ValueError(f"it is not of version {CACHE_VERSION}")
    if document.get("key") != asdict(key):
        raise ValueError("it belongs to another model or device")
    model = document.get("model")
    if not isinstance(model, dict):
        raise ValueError("it holds no model")
    cycles = model.get("cycles")
    return LatencyModel(
        reference_ms=_numbers(model.get("reference_ms"), key.levels, MIN_TIME),
        cycles=None if cycles is None else _numbers(cycles, key.levels, MIN_TIME),
        fixed_ms=_numbers(model.get("fixed_ms"), key.levels),
        layer_shares=_table(model.get("layer_shares"), key.levels, key.layers),
    )


def _table(value: object, rows: int, columns: int) -> tuple[tuple[float, ...], ...]:
    if not isinstance(value, list) or len(value) != rows:
        raise ValueError(f"expected {rows} rows")
    table = tuple(_numbers(row, columns) for row in value)
    if columns and not all(sum(row) > 0.0 for row in table):
        raise ValueError("expected a row of shares, found zeros only")
    return table


def _numbers(value: object, count: int, least: float = 0.0) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f"expected a list of {count} numbers")
    for item in value:
        if not isinstance(item, int | float) or isinstance(item, bool):
            raise ValueError(f"expected a number, found {item!r}")
        if not least <= item <= MAX_NUMBER:
            raise ValueError(f"expected a time or a count, found {item}")
    return tuple(float(item) for item in value)
