"""Tables of localisations of any program: each column is an array along ``point`` with the positions as coordinates.

The standard errors of the positions are the columns ``z_stderr``, ``y_stderr``, ``x_stderr``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fusion import units
from fusion.conventions import SPATIAL, stderr_name
from fusion.errors import FileReadError
from fusion.model import Axis, length
from fusion.reading.stored_array import POINT, StoredArray

Z_ERROR, Y_ERROR, X_ERROR = map(stderr_name, SPATIAL)


class Column(NamedTuple):
    """One column of a table: its unit in the file, its type, and how to read it."""

    unit: str
    dtype: Any
    load: Callable[[], Any]


def arrays_of(
    path: Path, columns: Mapping[str, Column], metadata: Mapping[str, Any], attrs: Mapping[str, str] | None = None
) -> list[StoredArray]:
    """Return an array for each column that is no position; lengths in um, or in px where the size is not known."""
    missing = [dim for dim in ("y", "x") if dim not in columns]
    if missing or not set(columns) - set(SPATIAL):
        reason = f"it has no column for {' and '.join(missing) or 'anything but the positions'}"
        raise FileReadError(path, reason, hint="export the localisations with positions, frames and photons")
    axes = {dim: Axis(columns[dim].unit, values=columns[dim].load()) for dim in SPATIAL if dim in columns}
    about = {"technique": "SMLM", **(attrs or {})}
    return [_column(name, columns[name], axes, about, metadata) for name in columns if name not in SPATIAL]


def _column(
    name: str, column: Column, axes: Mapping[str, Axis], about: Mapping[str, str], metadata: Mapping[str, Any]
) -> StoredArray:
    attrs = {"units": column.unit, "long_name": name.replace("_", " ")}
    array = StoredArray(
        name,
        POINT,
        shape=np.asarray(axes["x"].values).shape,
        dtype=column.dtype,
        load=column.load,
        axes=axes,
        attrs=attrs,
        dataset_attrs=about,
        variable=name,
        metadata=metadata,
    )
    if units.is_compatible(column.unit, units.LENGTH):
        return _converted(array, units.convert_factor(column.unit, units.LENGTH), units.LENGTH)
    return array


def sized(path: Path, arrays: Sequence[StoredArray], options: Mapping[str, Any]) -> list[StoredArray]:
    """Return the columns with lengths in um, by the size of a camera pixel that the user gives if the file does not.

    Raises
    ------
    FileReadError
        If the size is needed and missing, or something is options that does not apply to a table of points.
    """
    needless = [key for key in ("dims", "labels") if key in options]
    in_px = [dim for dim, axis in arrays[0].axes.items() if units.parse(axis.units) == units.PIXEL]
    if not in_px:
        needless += [key for key in ("voxel", "units") if key in options]
    if needless:
        reason = f"a table of points needs no more than it holds; {', '.join(needless)} cannot apply to it"
        raise FileReadError(path, reason, hint="leave that out")
    if in_px:
        arrays = [scaled(array, _pixel(path, in_px, options)) for array in arrays]
    return list(arrays)


def _pixel(path: Path, in_px: Sequence[str], options: Mapping[str, Any]) -> float:
    size = options.get("voxel")
    if not isinstance(size, (str, int, float)):
        reason = f"positions along {', '.join(in_px)} are in camera pixels, whose size it does not say (voxel={size!r})"
        raise FileReadError(path, reason, hint="give the side of a camera pixel in the specimen, e.g. voxel='104 nm'")
    return length(size if isinstance(size, str) else f"{size!r} {options.get('units', units.LENGTH)}")


def scaled(array: StoredArray, pixel: float) -> StoredArray:
    """Return a column whose lengths in px are now in um."""
    axes = {
        dim: Axis(units.LENGTH, values=np.asarray(axis.values) * pixel) if axis.units == units.PIXEL else axis
        for dim, axis in array.axes.items()
    }
    placed = replace(array, axes=axes)
    return _converted(placed, pixel, units.LENGTH) if array.attrs["units"] == units.PIXEL else placed


def _converted(array: StoredArray, factor: float, unit: str) -> StoredArray:
    return replace(array, load=lambda: array.load() * factor, attrs={**array.attrs, "units": unit})
