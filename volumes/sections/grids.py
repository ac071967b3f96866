"""Lines and planes in space as grids: their own coordinates, and the way from these to the dataset."""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import Axis, dataset
from fusion.affine import Affine
from fusion.conventions import SPATIAL, spacing, spatial_dims, title
from fusion.display import edges
from fusion.errors import DataError

Array = npt.NDArray[np.float64]
_MOST: Final = 100_000
_ALONG: Final = np.eye(3)[::-1]
"""Directions that columns of a plane follow first: x, then y, then z."""


def position(value: npt.ArrayLike, ds: xr.Dataset, what: str) -> Array:
    """Return a position or direction as z, y, x; within a plane two numbers are enough.

    Raises
    ------
    DataError
        If it is neither three finite numbers nor, for an image, two.
    """
    at = np.asarray(value, dtype=np.float64)
    if at.shape == (2,) and "z" not in ds.dims:
        at = np.array([float(ds["z"]) if "z" in ds.coords else 0.0, *at])
    if at.shape != (3,) or not np.isfinite(at).all():
        raise DataError(f"{what} is z, y, x in um, or y, x in an image; received {value!r}")
    return at


def finest(ds: xr.Dataset) -> float:
    """Return the smallest step of the spatial axes in um."""
    steps = [spacing(ds[dim]) or float(np.diff(ds[dim].values).min()) for dim in spatial_dims(ds) if ds.sizes[dim] > 1]
    if not steps:
        raise DataError(f"{title(ds)}: a single pixel has no step; give step=")
    return min(steps)


def line(start: Array, stop: Array, step: float) -> tuple[xr.Dataset, Affine]:
    """Return positions along a line, and the way from its coordinates to those of `start` and `stop`.

    Raises
    ------
    DataError
        If the ends coincide, or there are too many steps between them.
    """
    length = float(np.linalg.norm(stop - start))
    if not 0.0 < step < np.inf or not step <= length <= _MOST * step:
        raise DataError(
            f"a profile has 2 to {_MOST:,} steps from start to stop; received {length:.6g} um in steps of {step:.6g} um"
        )
    along = (stop - start) / length
    across = np.cross(along, np.eye(3)[int(np.abs(along).argmin())])
    across /= np.linalg.norm(across)
    grid = {"x": Axis("um", step)}
    bare = dataset({"grid": ("x", np.zeros(int(length / step + 1e-9) + 1))}, grid, name="line", cell_methods="point")
    return bare, _placed(along, across, start)


def plane(ds: xr.Dataset, centre: Array, normal: Array, step: float) -> tuple[xr.Dataset, Affine]:
    """Return the pixels of a plane within a volume, and the way from their coordinates to those of the volume.

    Raises
    ------
    DataError
        If the plane misses the volume.
    """
    # Columns follow x as far as the plane allows (y where it stands on x), and rows the way that y, or else z, points.
    # The plane's own z is its normal, turned to the side that makes the three right-handed.
    normal = normal / np.linalg.norm(normal)
    column = next(flat for axis in _ALONG if np.linalg.norm(flat := axis - (axis @ normal) * normal) > 0.1)
    column = column / np.linalg.norm(column)
    row = np.cross(column, normal)
    main = row[1] if abs(row[1]) > 1e-9 else row[0]
    row = row if main > 0 else -row
    corners = _cut(ds, centre, normal)
    if len(corners) < 3:
        raise DataError(f"the plane misses {title(ds)}; it passes through z, y, x = {centre.tolist()} um")
    ends = [(corners - centre) @ axis for axis in (row, column)]
    counts = [max(1, round(float(np.ptp(end)) / step)) for end in ends]
    if max(counts) > _MOST / 4:
        raise DataError(f"a plane of {counts[0]} × {counts[1]} pixels is too large; give a larger step than {step:.3g}")
    first = [float(end.min() + end.max() - (count - 1) * step) / 2 for end, count in zip(ends, counts, strict=True)]
    axes = {dim: Axis("um", step, offset=at) for dim, at in zip("yx", first, strict=True)}
    bare = dataset({"grid": (("y", "x"), np.zeros(counts))}, axes, name="plane", cell_methods="point")
    return bare, _placed(column, row, centre)


def _placed(column: Array, row: Array, origin: Array) -> Affine:
    """Return the way from coordinates whose x runs along `column` and y along `row`, right-handed."""
    matrix = np.eye(4)
    matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = row, column, origin
    # in the order z, y, x a cross product turns the other way round: z × y = -x, so x × y is -(z) read as numbers
    matrix[:3, 0] = np.cross(row, column)
    return Affine.exact(matrix)


def _cut(ds: xr.Dataset, centre: Array, normal: Array) -> Array:
    """Return where a plane cuts the edges of the box of a volume's voxels."""
    width = finest(ds)
    ends = [edges(ds[dim].values, width=width)[[0, -1]] for dim in SPATIAL]
    found = []
    for axis in range(3):
        for corner in product(*(ends[d] if d != axis else [0.0] for d in range(3))):
            first, last = np.array(corner), np.array(corner)
            first[axis], last[axis] = ends[axis]
            heights = [(end - centre) @ normal for end in (first, last)]
            if heights[0] * heights[1] <= 0 and heights[0] != heights[1]:
                share = heights[0] / (heights[0] - heights[1])
                found.append(first + share * (last - first))
    return np.array(found).reshape(-1, 3)
