"""Scans as the module sscan of EPICS saves them: offsets and numbers within an MDA file.

The layout is that of the description "MDA File Format" of sscan, versions 1.2 to 1.4: XDR (RFC 1014), big-endian, every
number four bytes long but for the positions. A scan of rank n holds the offsets of its scans of rank n - 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError

Array: TypeAlias = npt.NDArray[Any]

_AGAIN: Final = "copy it again"
_DEEPEST: Final = 4
_VERSIONS: Final = (1.2, 1.3, 1.4)
_TEXT: Final = 0
_NUMBERS: Final = {29: ">i4", 30: ">f4", 32: ">i4", 33: ">i4", 34: ">f8"}  # DBR_CTRL_SHORT, FLOAT, CHAR, LONG, DOUBLE


class Channel(NamedTuple):
    """A motor that was moved, or a detector that was read: its process variable, what it is, and its unit."""

    name: str
    description: str
    unit: str


class Scan(NamedTuple):
    """The head of one scan; `data` is where its numbers begin: positions as doubles, then readings as floats."""

    rank: int
    points: int
    done: int
    lower: tuple[int, ...]
    time: str
    motors: tuple[Channel, ...]
    detectors: tuple[Channel, ...]
    data: int


class Stream:
    """An open file of XDR; nothing is read or allocated beyond its end.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0
        self.file = path.open("rb")
        self.size = os.fstat(self.file.fileno()).st_size

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def vector(self, dtype: str, count: int) -> Array:
        """Return the next `count` numbers."""
        length = np.dtype(dtype).itemsize * count
        if self.offset < 0 or count < 0 or self.offset + length > self.size:
            reason = f"cut short or damaged: {count} numbers are said to be at byte {self.offset}"
            raise FileReadError(self.path, f"{reason} of {self.size}", hint=_AGAIN)
        self.file.seek(self.offset)
        content = self.file.read(length)
        if len(content) < length:
            raise FileReadError(self.path, "it was cut while it was read", hint=_AGAIN)
        self.offset += length
        return np.frombuffer(content, dtype)

    def integer(self) -> int:
        """Return the next number."""
        return int(self.vector(">i4", 1)[0])

    def text(self) -> str:
        """Return the next counted text: its length, and where that is not 0 its length again and its letters."""
        if self.integer() == 0:
            return ""
        length = self.integer()
        letters = self.vector("u1", length).tobytes()
        self.vector("u1", -length % 4)
        return letters.decode("utf-8", "replace")


def head(stream: Stream) -> tuple[int, int]:
    """Return the offsets of the process variables beside the scan and of the scan itself."""
    version = round(float(stream.vector(">f4", 1)[0]), 4)
    if version not in _VERSIONS:
        accepted = " ".join(map(str, _VERSIONS))
        raise FileReadError(stream.path, f"not an EPICS MDA file (its version is {version})", hint=f"known: {accepted}")
    stream.integer()  # the number of the scan
    rank = stream.integer()
    if not 1 <= rank <= _DEEPEST:
        raise FileReadError(stream.path, f"a scan of rank {rank}; ranks from 1 to {_DEEPEST} are known", hint=_AGAIN)
    stream.vector(">i4", rank + 1)  # the sizes that were planned, and whether they are the same everywhere
    return stream.integer(), stream.offset


def _scan(stream: Stream, offset: int) -> Scan:
    stream.offset = offset
    rank, points, done = (int(value) for value in stream.vector(">i4", 3))
    if not 0 <= done <= points:
        raise FileReadError(stream.path, f"damaged: {done} of {points} points at byte {offset}", hint=_AGAIN)
    lower = tuple(int(value) for value in stream.vector(">i4", points)) if rank > 1 else ()
    _, time = stream.text(), stream.text()
    motors, detectors, triggers = (int(value) for value in stream.vector(">i4", 3))
    moved = tuple(_motor(stream) for _ in range(motors))
    read = tuple(_detector(stream) for _ in range(detectors))
    for _ in range(triggers):
        stream.integer(), stream.text(), stream.integer()
    data = stream.offset
    stream.vector(">f8", motors * points), stream.vector(">f4", detectors * points)
    return Scan(rank, points, done, lower, time, moved, read, data)


def _motor(stream: Stream) -> Channel:
    stream.integer()
    name, description, _, unit = (stream.text() for _ in range(4))
    _, _, read_back = (stream.text() for _ in range(3))
    return Channel(name, description, read_back or unit)


def _detector(stream: Stream) -> Channel:
    stream.integer()
    return Channel(stream.text(), stream.text(), stream.text())


def levels(stream: Stream, offset: int) -> Iterator[Scan]:
    """Yield the first scan of each rank, outermost first."""
    scan = _scan(stream, offset)
    yield scan
    if scan.rank > 1:
        if not scan.done:
            raise FileReadError(stream.path, "the scan was stopped before its first row was finished")
        below = _scan(stream, scan.lower[0])
        if below.rank != scan.rank - 1:
            raise FileReadError(stream.path, f"damaged: rank {below.rank} within rank {scan.rank}", hint=_AGAIN)
        yield from levels(stream, scan.lower[0])


def finished(stream: Stream, levels: list[Scan]) -> int:
    """Return the number of rows of the outermost scan that were measured to their end."""
    first = levels[0]
    # pointers may lead to one offset again and again: no more points than the file has room for
    if first.done * prod(level.points for level in levels[1:]) * 4 > stream.size:
        raise FileReadError(stream.path, "cut short or damaged: it names more points than it has room for", hint=_AGAIN)
    complete = first.done
    if len(levels) > 1:
        states = (_is_complete(stream, offset, levels[1:]) for offset in first.lower[: first.done])
        complete = next((row for row, state in enumerate(states) if not state), first.done)
    if not complete:
        raise FileReadError(stream.path, "the scan was stopped before its first row was finished")
    return complete


def _is_complete(stream: Stream, offset: int, levels: list[Scan]) -> bool:
    stream.offset = offset
    rank, points, done = (int(value) for value in stream.vector(">i4", 3))
    if (rank, points) != (levels[0].rank, levels[0].points):
        reason = f"a scan of rank {rank} has {points} points and the first one of rank {levels[0].rank} has"
        raise FileReadError(stream.path, f"{reason} {levels[0].points}", hint="only maps of equal rows are read")
    if done < points or len(levels) == 1:
        return done == points
    lower = [int(value) for value in stream.vector(">i4", points)]
    return all(_is_complete(stream, below, levels[1:]) for below in lower)


def at_depth(stream: Stream, first: Scan, rows: int, depth: int) -> Iterator[Scan]:
    """Yield the scans so many levels below the outermost one, row by row."""
    for offset in first.lower[:rows]:
        scan = _scan(stream, offset)
        if depth == 1:
            yield scan
        else:
            yield from at_depth(stream, scan, scan.points, depth - 1)


def positions(stream: Stream, scan: Scan, index: int) -> Array:
    """Return the positions of a motor."""
    stream.offset = scan.data + 8 * scan.points * index
    return stream.vector(">f8", scan.points).astype(np.float64)


def readings(stream: Stream, scan: Scan, index: int) -> Array:
    """Return what a detector read."""
    stream.offset = scan.data + 8 * scan.points * len(scan.motors) + 4 * scan.points * index
    return stream.vector(">f4", scan.points).astype(np.float32)


def row(path: Path, offsets: tuple[int, ...], wanted: tuple[int, int], motors: list[int], number: int) -> Array:
    """Return one row of a map; see `_block`."""
    with Stream(path) as stream:
        return _block(stream, offsets[number], wanted, motors)


def _block(stream: Stream, offset: int, wanted: tuple[int, int], motors: list[int]) -> Array:
    """Return the readings below a scan in the order of their positions: a row may have been measured backwards.

    What is `wanted` lies so many levels deeper and has this number among the detectors there; `motors` are those of
    the levels, outermost first.
    """
    scan, (depth, index) = _scan(stream, offset), wanted
    order = np.argsort(positions(stream, scan, motors[0]), kind="stable") if motors else np.arange(scan.points)
    if depth == 0:
        return np.asarray(readings(stream, scan, index)[order])
    return np.stack([_block(stream, scan.lower[point], (depth - 1, index), motors[1:]) for point in order])


def extra(stream: Stream, offset: int) -> dict[str, dict[str, Any]]:
    """Return the process variables that were noted once for the whole scan."""
    if offset == 0:
        return {}
    stream.offset = offset
    variables = {}
    for _ in range(stream.integer()):
        name, description, kind = stream.text(), stream.text(), stream.integer()
        variables[name] = {"description": description, **_value(stream, name, kind)}
    return variables


def _value(stream: Stream, name: str, kind: int) -> dict[str, Any]:
    if kind == _TEXT:
        return {"value": stream.text()}
    if kind not in _NUMBERS:
        raise FileReadError(stream.path, f"damaged: {name!r} is of the unknown type {kind}", hint=_AGAIN)
    count, unit = stream.integer(), stream.text()
    values = stream.vector(_NUMBERS[kind], count).tolist()
    return {"value": values[0] if count == 1 else values, "unit": unit}
