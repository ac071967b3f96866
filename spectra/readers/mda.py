"""EPICS MDA files: scans of motors that synApps' saveData writes, with spectra and scalers at each point.

The innermost scan of a map of spectra moves no motor, its points are the channels of a detector. Coordinates are the
positions of the motors: those of the sample, which run against those of the beam on it. See `spectra.readers.sscan`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.errors import FileReadError, UnitError
from fusion.model import Axis
from fusion.reading.contents import unique
from fusion.reading.lazy import by_rows
from fusion.reading.opening import readable
from fusion.reading.stage import STAGE
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.attributes import technique, variable_of
from spectra.axes import dim_name, number
from spectra.readers import sscan

Array: TypeAlias = npt.NDArray[Any]

_LETTER: Final = re.compile(r"(?<![a-z])[xyz](?![a-z])")


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """Return the spectra of a file, and the images that its scalers make, by the name of the process variable.

    Spectra have the dim ``channel``, unless the file gives the calibration of the detector (CALO, CALS and CALQ of its
    MCA record) together with its unit (EGU); a calibration without a unit is the attribute ``channel_calibration``.

    Parameters
    ----------
    path : Path

    Of a scan that was stopped, the rows that were finished are opened, and the attribute ``truncated`` says how many.

    Raises
    ------
    FileReadError
        If the file is cut short, or no row of the scan was finished.
    """
    scan = _Measured(path)
    detectors = [(level, index) for level in scan.read for index in range(len(scan.levels[level].detectors))]
    names = unique([scan.levels[level].detectors[index].name.removesuffix(".VAL") for level, index in detectors])
    return [
        readable(path, name, partial(_described, scan, name, level, index))
        for name, (level, index) in zip(names, detectors, strict=True)
    ]


class _Measured:
    """What a file holds: the first scan of each rank, the finished rows, and the process variables beside them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with sscan.Stream(path) as stream:
            extra, start = sscan.head(stream)
            self.levels = list(sscan.levels(stream, start))
            self.rows = sscan.finished(stream, self.levels)
            self.extra = sscan.extra(stream, extra)
        self.sizes = (self.rows, *(level.points for level in self.levels[1:]))
        planned = self.levels[0].points
        self.truncated = f"{self.rows} of {planned} rows were finished" if self.rows < planned else ""
        self.spectral = not self.levels[-1].motors
        self.read = range(len(self.levels))[-2 if self.spectral else -1 :]

    @cached_property
    def moved(self) -> list[tuple[int, str]]:
        """The motor of each level and its axis; later rows may leave out what the first one says of a motor."""
        return [_moved(self.path, level) for level in (self.levels[:-1] if self.spectral else self.levels)]

    @cached_property
    def axes(self) -> dict[str, Axis | None]:
        """The axes of all levels, outermost first; channels have no positions."""
        axes: dict[str, Axis | None] = {}
        for depth, (index, dim) in enumerate(self.moved):
            if dim in axes:
                raise FileReadError(self.path, f"two motors move along {dim}", hint="measure one motor for each axis")
            unit = self.levels[depth].motors[index].unit
            axes[dim] = Axis(unit, values=self._positions(depth, index, dim))
        return {**axes, "channel": None} if self.spectral else axes

    def values(self, level: int, index: int) -> Any:
        """Return the readings of a detector, with the axes of the levels down to its own."""
        first = self.levels[0]
        if level == 0:
            with sscan.Stream(self.path) as stream:
                return sscan.readings(stream, first, index)[: self.rows]
        motors = [motor for motor, _ in self.moved[1 : level + 1]]
        row = partial(sscan.row, self.path, first.lower, (level - 1, index), motors)
        return by_rows(row, self.rows, self.sizes[1 : level + 1], np.float32)

    def variable(self, name: str) -> Any:
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
        with sscan.Stream(self.path) as stream:
            if depth == 0:
                return sscan.positions(stream, first, index)[: self.rows]
            scans = sscan.at_depth(stream, first, self.rows, depth)
            rows = np.sort([sscan.positions(stream, scan, index) for scan in scans], axis=1)
        mean = np.asarray(rows.mean(axis=0))
        if mean.size > 1 and np.abs(rows - mean).max() > np.diff(mean).min() / 2.0:
            reason = f"the positions along {dim} differ between rows by more than half a step"
            raise FileReadError(self.path, reason, hint="they lie on no grid; put them on one and save that as NetCDF")
        return mean


def _described(scan: _Measured, name: str, level: int, index: int) -> StoredArray:
    axes = dict(list(scan.axes.items())[: level + 1])
    shape = scan.sizes[: level + 1]
    calibration = [scan.variable(f"{name}.{field}") for field in ("CALO", "CALS", "CALQ")]
    unit = str(scan.variable(f"{name}.EGU") or "")
    counted = "channel" in axes and None not in calibration  # only the MCA record has these fields
    if counted and units.is_compatible(unit, "keV"):
        energies = np.polynomial.Polynomial(calibration)(np.arange(scan.levels[level].points))
        axes.pop("channel")
        axes["energy"] = Axis(unit, values=energies)
    dims = tuple(axes)
    variable, method = ("counts", "sum") if counted else variable_of(dims, np.dtype(np.float32), counted=False)
    detector = scan.levels[level].detectors[index]
    attrs: dict[str, Any] = {"technique": technique("", dims), "acquisition_time": scan.levels[0].time}
    if counted and "channel" in axes:
        attrs["channel_calibration"] = [float(value) for value in calibration]
    if scan.truncated:
        attrs["truncated"] = scan.truncated
    return StoredArray(
        name=name,
        dims=dims,
        shape=shape,
        dtype=np.dtype(np.float32),
        load=partial(scan.values, level, index),
        axes={dim: axis for dim, axis in axes.items() if axis is not None},
        attrs={"units": "count" if counted else _unit(detector.unit), "long_name": detector.description or name},
        cell_method=method,
        dataset_attrs=attrs,
        frame=STAGE,
        metadata={"extra": scan.extra},
        variable=variable,
    )


def _moved(path: Path, scan: sscan.Scan) -> tuple[int, str]:
    """Return the motor that says along which axis it moves, and that axis."""
    named = [(index, dim) for index, motor in enumerate(scan.motors) if (dim := _dim(motor))]
    if len(named) != 1:
        listed = ", ".join(f"{motor.name} {motor.description!r} in {motor.unit!r}" for motor in scan.motors)
        reason = f"of the motors of its scan of rank {scan.rank} ({listed or 'none'}) not one alone names its axis"
        raise FileReadError(path, reason, hint="accepted: a length along 'X', 'Y' or 'Z', an energy, a time")
    return named[0]


def _dim(motor: sscan.Channel) -> str:
    """Return the axis of a motor: the one letter x, y or z of ``Sample X``, or a name of its own."""
    letters = set(_LETTER.findall(motor.description.lower()))
    if len(letters) == 1 and units.is_compatible(motor.unit, units.LENGTH):
        return str(letters.pop())
    with suppress(UnitError):
        return dim_name(motor.description, motor.unit)
    return ""


def _unit(text: str) -> str:
    """Return the unit of a scaler, or 1 where it is none that is known, such as ``microra``."""
    with suppress(UnitError):
        return units.parse(text)
    return "1"
