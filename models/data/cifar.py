# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 and CIFAR-100 in their standard files: 32x32 colour images as bytes.

Both the Python version (pickles) and the binary version are read from a folder, the archives
unpacked. A pickle can run code, so it is read by an unpickler that knows only what NumPy arrays of
bytes need and refuses everything else by name.
"""

import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aio.models.errors import ModelError

IMAGE_BYTES = 3 * 32 * 32
_MAX_FILE_BYTES = 1 << 29  # the largest real one has 156 MB
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
# What unpickling made-up content raises; damage and malice look alike.
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)


class Cifar(NamedTuple):
    """Images (N, 3, 32, 32) as bytes and classes (N,), for training and held out."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    held_out_images: NDArray[np.uint8]
    held_out_labels: NDArray[np.int64]
    labels: tuple[str, ...]


class _Layout(NamedTuple):
    train: tuple[str, ...]
    held_out: str
    label_key: str
    label_bytes: int  # in front of each image of the binary version; the last one is the class
    names: str
    names_key: str
    classes: int


_LAYOUTS = {
    10: _Layout(
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test_batch",
        "labels",
        1,
        "batches.meta",
        "label_names",
        10,
    ),
    100: _Layout(("train",), "test", "fine_labels", 2, "meta", "fine_label_names", 100),
}


def load(folder: Path, classes: int = 10) -> Cifar:
    """Return CIFAR-10 or CIFAR-100.

    Args:
        folder: that holds `data_batch_1` or `data_batch_1.bin` (CIFAR-100: `train`), directly or
            in the folder that the archive unpacks to.
        classes: 10 or 100.

    Raises:
        ModelError: a file is missing, truncated, or holds something else.
    """
    layout = _LAYOUTS[classes]
    home = _home(folder, layout)
    parts = [_read(home, name, layout) for name in layout.train]
    held_out = _read(home, layout.held_out, layout)
    return Cifar(
        np.concatenate([images for images, _ in parts]),
        np.concatenate([labels for _, labels in parts]),
        *held_out,
        _label_names(home, layout),
    )


def _home(folder: Path, layout: _Layout) -> Path:
    candidates = [folder, *sorted(path for path in folder.glob("cifar-*") if path.is_dir())]
    for home in candidates:
        if any((home / f"{layout.train[0]}{end}").is_file() for end in ("", ".bin")):
            return home
    raise ModelError(
        f"{folder} has no file {layout.train[0]} or {layout.train[0]}.bin: unpack the archive of "
        f"CIFAR-{layout.classes} there"
    )


def _read(home: Path, name: str, layout: _Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    binary = home / f"{name}.bin"
    path = binary if binary.is_file() else home / name
    images, labels = (_from_binary if binary.is_file() else _from_pickle)(path, layout)
    if not len(labels):
        raise ModelError(f"{path} holds no image")
    if labels.min() < 0 or labels.max() >= layout.classes:
        raise ModelError(f"{path} holds class {labels.max()}, there are 0 to {layout.classes - 1}")
    return images, labels


def _from_binary(path: Path, layout: _Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = np.frombuffer(_content(path), dtype=np.uint8)
    record = layout.label_bytes + IMAGE_BYTES
    if len(content) % record:
        raise ModelError(
            f"{path} has {len(content)} bytes, not a multiple of {record}: it is truncated, or not "
            f"of CIFAR-{layout.classes}"
        )
    records = content.reshape(-1, record)
    images = records[:, layout.label_bytes :].reshape(-1, 3, 32, 32).copy()
    return images, records[:, layout.label_bytes - 1].astype(np.int64)


def _from_pickle(path: Path, layout: _Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    found = _unpickled(path)
    images, labels = found.get("data"), found.get(layout.label_key)
    if not isinstance(images, np.ndarray) or not isinstance(labels, list):
        raise ModelError(f"{path} has no {layout.label_key!r} and 'data' of CIFAR-{layout.classes}")
    if images.dtype != np.uint8 or images.shape != (len(labels), IMAGE_BYTES):
        raise ModelError(
            f"{path} holds images of shape {images.shape} and type {images.dtype} for "
            f"{len(labels)} labels, expected bytes of shape ({len(labels)}, {IMAGE_BYTES})"
        )
    if not all(type(label) is int for label in labels):
        raise ModelError(f"{path} holds labels that are no whole numbers")
    return images.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _label_names(home: Path, layout: _Layout) -> tuple[str, ...]:
    text = home / f"{layout.names.replace('meta', 'fine_label_names')}.txt"
    if layout.classes == 10:
        text = home / "batches.meta.txt"
    if text.is_file():
        names: Any = [line for line in text.read_text(encoding="utf-8").split("\n") if line.strip()]
    elif (home / layout.names).is_file():
        names = _unpickled(home / layout.names).get(layout.names_key)
    else:
        return tuple(str(i) for i in range(layout.classes))
    if not isinstance(names, list) or len(names) != layout.classes:
        raise ModelError(f"{home} does not name {layout.classes} classes")
    return tuple(str(name) for name in names)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR does not need")
        if name == "_reconstruct":
            return _reconstruct
        return super().find_class(module, name)


def _reconstruct(kind: type, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    """Make the empty array that a pickled one starts from, whatever NumPy calls its own."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("it holds an array that NumPy would not write")
    del code
    empty: NDArray[Any] = np.ndarray(shape, dtype=np.int8)
    return empty


def _unpickled(path: Path) -> dict[str, Any]:
    try:
        found = _Unpickler(io.BytesIO(_content(path)), encoding="latin1").load()
    except _UNREADABLE as error:
        raise ModelError(
            f"{path} is damaged or no file of CIFAR: {error or type(error).__name__}"
        ) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds a {type(found).__name__}, not the dictionary of CIFAR")
    return found


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: unpack the whole archive") from error
    if size > _MAX_FILE_BYTES:
        raise ModelError(f"{path} has {size} bytes, no file of CIFAR has more than 160 MB")
    return path.read_bytes()
