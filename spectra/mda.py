"""EPICS MDA files: scans of motors that synApps' saveData writes, with spectra and scalers at each point.

The layout is that of the description "MDA File Format" of the EPICS module sscan, versions 1.2 to 1.4: XDR (RFC 1014),
big-endian, every number four bytes long but for the positions. A scan of rank n holds the places of its scans of rank
n - 1; the innermost of a map of spectra moves no motor, its points are the channels of a detector. Coordinates are the
positions of the motors: those of the sample, which run against those of the beam on it.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import units
from fusion.errors import ConventionError, FileReadError, TruncatedFileWarning, UnitError
from fusion.lazy import by_rows
from fusion.metadata import as_json
from fusion.model import Axis
from fusion.stage import STAGE
from spectra.axes import dim_name, number
from spectra.items import Builders, unique
from spectra.metadata import technique
from spectra.vendor import variable_of

Array: TypeAlias = npt.NDArray[Any]

_AGAIN: Final = "copy it again"
_DEEPEST: Final = 4
_VERSIONS: Final = (1.2, 1.3, 1.4)
_TEXT: Final = 0
_NUMBERS: Final = {29: ">i4", 30: ">f4", 32: ">i4", 33: ">i4", 34: ">f8"}  # DBR_CTRL_SHORT, FLOAT, CHAR, LONG, DOUBLE
_LETTER: Final = re.compile(r"(?<![a-z])[xyz](?![a-z])")


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
        self.path, self.place = path, 0
        self.file = path.open("rb")
        self.size = os.fstat(self.file.fileno()).st_size

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def vector(self, dtype: str, count: int) -> Array:
        """Return the next `count` numbers."""
        length = np.dtype(dtype).itemsize * count
        if self.place < 0 or count < 0 or self.place + length > self.size:
            reason = f"cut short or damaged: {count} numbers are said to be at byte {self.place}"
            raise FileReadError(self.path, f"{reason} of {self.size}", hint=_AGAIN)
        self.file.seek(self.place)
        content = self.file.read(length)
        if len(content) < length:
            raise FileReadError(self.path, "it was cut while it was read", hint=_AGAIN)
        self.place += length
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


def builders(path: Path) -> Builders:
    """Return the spectra of a file, and the images that its scalers make, by the name of the process variable.

    Spectra have the dim ``channel``, unless the file gives the calibration of the detector (CALO, CALS and CALQ of its
    MCA record) together with its unit (EGU); a calibration without a unit is the attribute ``channel_calibration``.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the file is cut short, or no row of the scan was finished.

    Warns
    -----
    TruncatedFileWarning
        If the scan was stopped: the rows that were measured are opened, and the attribute ``truncated`` says how many.
    """
    scan = _Measured(path)
    if scan.truncated:
        warnings.warn(TruncatedFileWarning(f"{path}: the scan was stopped, {scan.truncated}"), stacklevel=4)
    found = [(level, index) for level in scan.read for index in range(len(scan.levels[level].detectors))]
    names = unique([scan.levels[level].detectors[index].name.removesuffix(".VAL") for level, index in found])
    return {name: partial(_build, scan, name, *place) for name, place in zip(names, found, strict=True)}


class _Measured:
    """What a file holds: the first scan of each rank, the finished rows, and the process variables beside them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with Stream(path) as stream:
            extra, place = _head(stream)
            self.levels = list(_levels(stream, place))
            self.rows = _finished(stream, self.levels)
            self.extra = _extra(stream, extra)
        self.sizes = (self.rows, *(level.points for level in self.levels[1:]))
        planned = self.levels[0].points
        self.truncated = f"{self.rows} of {planned} rows were finished" if self.rows < planned else ""
        self.spectral = not self.levels[-1].motors
        self.read = range(len(self.levels))[-2 if self.spectral else -1 :]
        self.original_metadata = as_json({"extra": self.extra})

    @cached_property
    def moved(self) -> list[tuple[int, str]]:
        """The motor of each level and its axis; later rows may leave out what the first one says of a motor."""
        return [_moved(self.path, level) for level in (self.levels[:-1] if self.spectral else self.levels)]

    @cached_property
    def axes(self) -> dict[str, Axis | Array]:
        """The axes of all levels, outermost first."""
        found: dict[str, Axis | Array] = {}
        for depth, (index, dim) in enumerate(self.moved):
            if dim in found:
                raise FileReadError(self.path, f"two motors move along {dim}", hint="measure one motor for each axis")
            unit = self.levels[depth].motors[index].unit
            found[dim] = Axis(unit, values=self._positions(depth, index, dim))
        return {**found, "channel": np.arange(self.levels[-1].points)} if self.spectral else found

    def values(self, level: int, index: int) -> Any:
        """Return the readings of a detector, with the axes of the levels down to its own."""
        first = self.levels[0]
        if level == 0:
            with Stream(self.path) as stream:
                return _readings(stream, first, index)[: self.rows]
        motors = [motor for motor, _ in self.moved[1 : level + 1]]
        row = partial(_row, self.path, first.lower, (level - 1, index), motors)
        return by_rows(row, self.rows, self.sizes[1 : level + 1], np.float32)

    def said(self, name: str) -> Any:
        """Return the value of a process variable: one beside the scan, or one that was the same at every row."""
        if name in self.extra:
            return self.extra[name]["value"]
        first = self.levels[0]
        index = next((index for index, each in enumerate(first.detectors) if each.name == name), None)
        if index is None:
            return None
        values = self.values(0, index)
        return number(values[0]) if (values == values[0]).all() else None

    def _positions(self, depth: int, index: int, dim: str) -> Array:
        """Return the positions along one axis; those of an inner motor are the mean over the rows, each in order."""
        first = self.levels[0]
        with Stream(self.path) as stream:
            if depth == 0:
                return _positions(stream, first, index)[: self.rows]
            scans = _at_depth(stream, first, self.rows, depth)
            rows = np.sort([_positions(stream, scan, index) for scan in scans], axis=1)
        mean = np.asarray(rows.mean(axis=0))
        if mean.size > 1 and np.abs(rows - mean).max() > np.diff(mean).min() / 2.0:
            reason = f"the positions along {dim} differ between rows by more than half a step"
            raise FileReadError(self.path, reason, hint="they lie on no grid; put them on one and save that as NetCDF")
        return mean


def _build(scan: _Measured, name: str, level: int, index: int) -> xr.Dataset:
    try:
        return _labelled(scan, name, level, index)
    except (ConventionError, UnitError) as error:
        raise FileReadError(scan.path, f"item {name!r}: {error}") from error


def _labelled(scan: _Measured, name: str, level: int, index: int) -> xr.Dataset:
    axes = dict(list(scan.axes.items())[: level + 1])
    calibration = [scan.said(f"{name}.{field}") for field in ("CALO", "CALS", "CALQ")]
    unit = str(scan.said(f"{name}.EGU") or "")
    counted = "channel" in axes and None not in calibration  # only the MCA record has these fields
    if counted and units.is_compatible(unit, "keV"):
        energies = np.polynomial.Polynomial(calibration)(np.arange(scan.levels[level].points))
        axes.pop("channel")
        axes["energy"] = Axis(unit, values=energies)
    dims = tuple(axes)
    variable, method = ("counts", "sum") if counted else variable_of(dims, np.dtype(np.float32))
    detector = scan.levels[level].detectors[index]
    attrs: dict[str, Any] = {
        "technique": technique("", dims),
        "acquisition_time": scan.levels[0].time,
        "original_metadata": scan.original_metadata,
    }
    if counted and "channel" in axes:
        attrs["channel_calibration"] = [float(value) for value in calibration]
    if scan.truncated:
        attrs["truncated"] = scan.truncated
    said = {"units": "count" if counted else _unit(detector.unit), "long_name": detector.description or name}
    return fusion.dataset(
        {variable: (dims, scan.values(level, index), said)},
        axes, name=name, cell_methods=method, frame=STAGE, attrs=attrs,
    )  # fmt: skip


def _head(stream: Stream) -> tuple[int, int]:
    """Return the places of the process variables beside the scan and of the scan itself."""
    version = round(float(stream.vector(">f4", 1)[0]), 4)
    if version not in _VERSIONS:
        accepted = " ".join(map(str, _VERSIONS))
        raise FileReadError(stream.path, f"not an EPICS MDA file (its version is {version})", hint=f"known: {accepted}")
    stream.integer()  # the number of the scan
    rank = stream.integer()
    if not 1 <= rank <= _DEEPEST:
        raise FileReadError(stream.path, f"a scan of rank {rank}; ranks from 1 to {_DEEPEST} are known", hint=_AGAIN)
    stream.vector(">i4", rank + 1)  # the sizes that were planned, and whether they are the same everywhere
    return stream.integer(), stream.place


def _scan(stream: Stream, place: int) -> Scan:
    stream.place = place
    rank, points, done = (int(value) for value in stream.vector(">i4", 3))
    if not 0 <= done <= points:
        raise FileReadError(stream.path, f"damaged: {done} of {points} points at byte {place}", hint=_AGAIN)
    lower = tuple(int(value) for value in stream.vector(">i4", points)) if rank > 1 else ()
    _, time = stream.text(), stream.text()
    motors, detectors, triggers = (int(value) for value in stream.vector(">i4", 3))
    moved = tuple(_motor(stream) for _ in range(motors))
    read = tuple(_detector(stream) for _ in range(detectors))
    for _ in range(triggers):
        stream.integer(), stream.text(), stream.integer()
    data = stream.place
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


def _levels(stream: Stream, place: int) -> Iterator[Scan]:
    """Yield the first scan of each rank, outermost first."""
    scan = _scan(stream, place)
    yield scan
    if scan.rank > 1:
        if not scan.done:
            raise FileReadError(stream.path, "the scan was stopped before its first row was finished")
        below = _scan(stream, scan.lower[0])
        if below.rank != scan.rank - 1:
            raise FileReadError(stream.path, f"damaged: rank {below.rank} within rank {scan.rank}", hint=_AGAIN)
        yield from _levels(stream, scan.lower[0])


def _finished(stream: Stream, levels: list[Scan]) -> int:
    """Return the number of rows of the outermost scan that were measured to their end."""
    first = levels[0]
    # pointers may lead to one place again and again: no more points than the file has room for
    if first.done * prod(level.points for level in levels[1:]) * 4 > stream.size:
        raise FileReadError(stream.path, "cut short or damaged: it names more points than it has room for", hint=_AGAIN)
    whole = first.done
    if len(levels) > 1:
        states = (_whole(stream, place, levels[1:]) for place in first.lower[: first.done])
        whole = next((row for row, state in enumerate(states) if not state), first.done)
    if not whole:
        raise FileReadError(stream.path, "the scan was stopped before its first row was finished")
    return whole


def _whole(stream: Stream, place: int, levels: list[Scan]) -> bool:
    stream.place = place
    rank, points, done = (int(value) for value in stream.vector(">i4", 3))
    if (rank, points) != (levels[0].rank, levels[0].points):
        reason = f"a scan of rank {rank} has {points} points and the first one of rank {levels[0].rank} has"
        raise FileReadError(stream.path, f"{reason} {levels[0].points}", hint="only maps of equal rows are read")
    if done < points or len(levels) == 1:
        return done == points
    lower = [int(value) for value in stream.vector(">i4", points)]
    return all(_whole(stream, below, levels[1:]) for below in lower)


def _at_depth(stream: Stream, first: Scan, rows: int, depth: int) -> Iterator[Scan]:
    for place in first.lower[:rows]:
        scan = _scan(stream, place)
        if depth == 1:
            yield scan
        else:
            yield from _at_depth(stream, scan, scan.points, depth - 1)


def _moved(path: Path, scan: Scan) -> tuple[int, str]:
    """Return the motor that says along which axis it moves, and that axis."""
    found = [(index, dim) for index, motor in enumerate(scan.motors) if (dim := _dim(motor))]
    if len(found) != 1:
        listed = ", ".join(f"{motor.name} {motor.description!r} in {motor.unit!r}" for motor in scan.motors)
        reason = f"of the motors of its scan of rank {scan.rank} ({listed or 'none'}) not one alone names its axis"
        raise FileReadError(path, reason, hint="accepted: a length along 'X', 'Y' or 'Z', an energy, a time")
    return found[0]


def _dim(motor: Channel) -> str:
    """Return the axis of a motor: the one letter x, y or z of ``Sample X``, or a name of its own."""
    letters = set(_LETTER.findall(motor.description.lower()))
    if len(letters) == 1 and units.is_compatible(motor.unit, units.LENGTH):
        return str(letters.pop())
    with suppress(UnitError):
        return dim_name(motor.description, motor.unit)
    return ""


def _positions(stream: Stream, scan: Scan, index: int) -> Array:
    stream.place = scan.data + 8 * scan.points * index
    return stream.vector(">f8", scan.points).astype(np.float64)


def _readings(stream: Stream, scan: Scan, index: int) -> Array:
    stream.place = scan.data + 8 * scan.points * len(scan.motors) + 4 * scan.points * index
    return stream.vector(">f4", scan.points).astype(np.float32)


def _row(path: Path, places: tuple[int, ...], wanted: tuple[int, int], motors: list[int], row: int) -> Array:
    with Stream(path) as stream:
        return _block(stream, places[row], wanted, motors)


def _block(stream: Stream, place: int, wanted: tuple[int, int], motors: list[int]) -> Array:
    """Return the readings below a scan in the order of their positions: a row may have been measured backwards.

    What is `wanted` lies so many levels deeper and has this number among the detectors there; `motors` are those of
    the levels, outermost first.
    """
    scan, (depth, index) = _scan(stream, place), wanted
    order = np.argsort(_positions(stream, scan, motors[0]), kind="stable") if motors else np.arange(scan.points)
    if depth == 0:
        return np.asarray(_readings(stream, scan, index)[order])
    return np.stack([_block(stream, scan.lower[point], (depth - 1, index), motors[1:]) for point in order])


def _extra(stream: Stream, place: int) -> dict[str, dict[str, Any]]:
    """Return the process variables that were noted once for the whole scan."""
    if place == 0:
        return {}
    stream.place = place
    found = {}
    for _ in range(stream.integer()):
        name, description, kind = stream.text(), stream.text(), stream.integer()
        found[name] = {"description": description, **_value(stream, name, kind)}
    return found


def _value(stream: Stream, name: str, kind: int) -> dict[str, Any]:
    if kind == _TEXT:
        return {"value": stream.text()}
    if kind not in _NUMBERS:
        raise FileReadError(stream.path, f"damaged: {name!r} is of the unknown type {kind}", hint=_AGAIN)
    count, unit = stream.integer(), stream.text()
    values = stream.vector(_NUMBERS[kind], count).tolist()
    return {"value": values[0] if count == 1 else values, "unit": unit}


def _unit(text: str) -> str:
    """Return the unit of a scaler, or 1 where it is none that is known, such as ``microra``."""
    with suppress(UnitError):
        return units.parse(text)
    return "1"
