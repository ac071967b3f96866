"""Axes: a unit with a step and an offset or with positions, and the coordinate that becomes of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import units
from fusion.conventions import LONG_NAMES, SIGNAL, SPATIAL
from fusion.errors import ConventionError, UnitError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """An axis as a file gives it: a unit with a step and an offset, or with the positions themselves.

    Parameters
    ----------
    units : str
        Any spelling that `fusion.units.parse` reads; ``"px"`` where the pixel size is not known.
    step : float, optional
        Distance between neighbouring pixel centres. A negative step is turned, data and all.
    offset : float, optional
        Position of the centre of pixel 0.
    values : array_like, optional
        The positions of all centres, for an axis that is not uniform; or a single number, the position of the
        plane in which a dataset without this dimension lies.
    long_name : str, optional
        What the axis measures; a standard name is used if left out.
    direction : {"", "up", "down"}, optional
        Which way y runs on a screen, where it is not what `fusion.display.y_upwards` takes it to be.

    Examples
    --------
    >>> Axis("nm", step=500.0).centres(3, "um")
    array([0. , 0.5, 1. ])
    """

    units: str
    step: float | None = None
    offset: float = 0.0
    values: npt.ArrayLike | None = None
    long_name: str = ""
    direction: Literal["", "up", "down"] = ""

    def __post_init__(self) -> None:
        if (self.step is None) == (self.values is None):
            raise ConventionError([f"Axis({self.units!r}): give either step (with offset) or values"])

    def centres(self, size: int, to: str) -> Array:
        """Return the `size` pixel centres in the unit `to`."""
        factor = units.convert_factor(self.units, to)
        if self.step is not None:
            return self.offset * factor + self.step * factor * np.arange(size, dtype=np.float64)
        return np.asarray(self.values, dtype=np.float64) * factor


def length(size: str | float) -> float:
    """Return a positive length in um from a text such as ``"62 nm"``; a bare number means um.

    Examples
    --------
    >>> length("62 nm"), length(0.5)
    (0.062, 0.5)
    """
    number, unit = _split(size) if isinstance(size, str) else (size, units.LENGTH)
    value = float(number) * units.convert_factor(unit, units.LENGTH)
    if not (np.isfinite(value) and value > 0):
        raise UnitError(f"a size is a positive length such as '62 nm'; received {size!r}")
    return value


def coordinate(name: str, axis: Axis | npt.ArrayLike, sizes: Mapping[Hashable, int]) -> tuple[str, xr.Variable]:
    """Return the coordinate of an axis, in the standard unit of its name."""
    if not isinstance(axis, Axis):
        values = np.asarray(axis)
        return name, xr.Variable(name, values, {"long_name": LONG_NAMES.get(name, name)})
    unit = _standard_unit(name, axis.units)
    values = axis.centres(sizes.get(name, 0), unit)
    dims = () if values.ndim == 0 else (name if name in sizes else "point",)
    attrs = {"units": unit, "long_name": axis.long_name or LONG_NAMES.get(name, name)}
    if name in SPATIAL:
        attrs["axis"] = name.upper()
        attrs |= {"direction": axis.direction} if axis.direction else {}
    return name, xr.Variable(dims, values, attrs)


def _standard_unit(name: str, unit: str) -> str:
    parsed = units.parse(unit)
    if name in SPATIAL:
        return units.PIXEL if parsed == units.PIXEL else units.LENGTH
    return SIGNAL.get(name, parsed)


def _split(text: str) -> tuple[float, str]:
    head = text.strip()
    digits = len(head) - len(head.lstrip("+-.0123456789eE"))
    try:
        return float(head[:digits]), head[digits:].strip() or units.LENGTH
    except ValueError as error:
        raise UnitError(f"a size is a number and a unit such as '62 nm'; received {text!r}") from error
