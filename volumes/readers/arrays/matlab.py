"""MATLAB files of versions 5 to 7; those of version 7.3 are HDF5 and read by `volumes.readers.arrays.hdf5`.

Only full numeric arrays are read. This is done here and not by SciPy, whose compiled reader ends the process (SIGSEGV)
on a damaged file; the layout is that of "MAT-File Format" (The MathWorks, R2024a), chapter 1.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError
from fusion.reading.stored_array import StoredArray, image_dims

_MATRIX, _COMPRESSED, _HEADER, _START = 14, 15, 128, 1024
_STORED: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES: Final = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX: Final = 0x0800


class _Head(NamedTuple):
    """What stands before the values of an array."""

    name: str
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    rest: int


def arrays(path: Path) -> list[StoredArray]:
    """List the numeric arrays; cells, structures, text, single numbers and lists are left out.

    MATLAB does not name axes: an image is y, x, anything else needs ``dims``.
    """
    content = path.read_bytes()
    order = _byte_order(path, content)
    listed = []
    for start, packed, payload in _variables(path, content, order):
        head = _head(_unpacked(payload, packed, _START), order)
        if head is not None and not head.name.isidentifier():
            raise FileReadError(path, f"the name {head.name!r} of an array is damaged", hint="copy the file again")
        if head is not None and min(head.shape, default=0) > 1:
            load = partial(_load, path, start)
            listed.append(StoredArray(head.name, image_dims(len(head.shape)), head.shape, np.dtype(head.dtype), load))
    return listed


def _load(path: Path, wanted: int) -> Any:
    content = path.read_bytes()
    order = _byte_order(path, content)
    for start, packed, payload in _variables(path, content, order):
        if start == wanted:
            return _values(path, _unpacked(payload, packed), order)
    raise FileReadError(path, "the file has changed since it was opened", hint="open it again")


def _byte_order(path: Path, content: bytes) -> str:
    mark = content[126:128]
    if mark not in (b"IM", b"MI"):
        raise FileReadError(path, "the header of the MATLAB file is damaged", hint="copy it again")
    return "<" if mark == b"IM" else ">"


def _variables(path: Path, content: bytes, order: str) -> Iterator[tuple[int, bool, bytes]]:
    """Yield the position of each variable, whether it is compressed, and its bytes."""
    at = _HEADER
    while at + 8 <= len(content):
        kind, size = np.frombuffer(content, f"{order}u4", 2, at).tolist()
        if kind not in (_MATRIX, _COMPRESSED) or at + 8 + size > len(content):
            raise FileReadError(path, "the file is damaged or cut short", hint="copy it again, or save it anew")
        yield at, kind == _COMPRESSED, content[at + 8 : at + 8 + size]
        at += 8 + size


def _unpacked(payload: bytes, packed: bool, most: int = 0) -> bytes:
    """Return the content of a variable, only its first bytes if `most` is given."""
    return zlib.decompressobj().decompress(payload, most)[8:] if packed else payload


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Return type and bytes of the element at a position, and the position of the next; short ones share their tag."""
    kind, size = np.frombuffer(data, f"{order}u4", 2, at).tolist()
    if kind >> 16:
        return kind & 0xFFFF, data[at + 4 : at + 4 + (kind >> 16)], at + 8
    return kind, data[at + 8 : at + 8 + size], at + 8 + size + -size % 8


def _head(data: bytes, order: str) -> _Head | None:
    """Read flags, shape and name; None for what is no full array of real numbers."""
    _, flags, at = _element(data, 0, order)
    word = int(np.frombuffer(flags, f"{order}u4", 1)[0])
    if word & 0xFF not in _CLASSES or word & _COMPLEX:
        return None
    _, sizes, at = _element(data, at, order)
    _, name, at = _element(data, at, order)
    shape = tuple(np.frombuffer(sizes, f"{order}i4").tolist())
    return _Head(name.decode("latin-1"), shape, _CLASSES[word & 0xFF], at)


def _values(path: Path, data: bytes, order: str) -> npt.NDArray[Any]:
    """Return the array; MATLAB stores columns first, and whole numbers in fewer bytes than their class has."""
    head = _head(data, order)
    kind, values, _ = _element(data, head.rest, order) if head else (0, b"", 0)
    if head is None or kind not in _STORED:
        raise FileReadError(path, "the values of an array are damaged", hint="copy the file again")
    stored = np.frombuffer(values, f"{order}{_STORED[kind]}")
    return np.ascontiguousarray(stored.reshape(head.shape, order="F").astype(head.dtype))
