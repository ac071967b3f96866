"""One dataset drawn over another: brought onto its pixels, or, if it is points, into its coordinates."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import (
    CELL_METHODS,
    SPATIAL,
    cell_methods,
    check,
    error_of,
    kind,
    linked,
    spatial_dims,
    stderr_name,
    title,
    with_links,
)
from fusion.display import PALETTE
from fusion.errors import DataError
from fusion.frames import POSE, between
from fusion.resampling.resample import COVERAGE, resample
from volumes.drawing import layers
from volumes.drawing.mesh import unlinked
from volumes.drawing.options import Options

POINT_COLOR: Final = PALETTE[-1]
RADIUS: Final = "radius"
_BANDS: Final = ({"component"}, {"channel"}, set[str]())


class Points(NamedTuple):
    """What points are called, and their positions (n, 3) in the order z, y, x, in the coordinates of the picture."""

    name: str
    at: npt.NDArray[np.float64]
    radius: npt.NDArray[np.float64] | None = None
    """Of each point, in the unit of its coordinates, if the points are particles."""


def with_overlay(ds: xr.Dataset, options: Options) -> tuple[xr.Dataset, Options, Points | None]:
    """Return a dataset with what lies over it on its own pixels, the options to draw both, and points.

    Raises
    ------
    DataError
        If the two do not overlap, or nothing of the upper one can be drawn over an image.
    FrameError
        If they share no frame.
    """
    over = options.overlay
    if over is None:
        return ds, options, None
    if "point" in over.dims:
        return ds, options, _points(check(over), ds)
    moved = _renamed(resample(_drawable(over), ds, method="nearest").drop_vars(COVERAGE), ds)
    bare = moved.drop_vars([name for name in moved.coords if name in (*SPATIAL, POSE)])
    if clash := {"component", "channel"} & set(bare.dims) & set(ds.dims):
        raise DataError(
            f"both datasets have a {clash.pop()}; draw one variable of the upper one, e.g. overlay=ds[['a']]"
        )
    components = options.components or [name for key in layers.drawn_names(bare) for name in _names(bare[key])]
    return ds.assign(bare), replace(options, variable=_base(ds, options), components=components), None


def _drawable(over: xr.Dataset) -> xr.Dataset:
    """Return what can be drawn, with its errors, counts as the intensity of a pixel, which may be seen twice."""
    over = check(unlinked(over))
    dims = spatial_dims(over)
    kept = {str(key): v for key, v in over.data_vars.items() if v.dtype.kind in "iuf" and kind(v) != "label"}
    numeric = {name: kept[name].dims for name in kept if name in layers.drawn_names(over)}
    fitting = [name for name, own in numeric.items() if own[: len(dims)] == dims and set(own[len(dims) :]) in _BANDS]
    banded = [name for name in fitting if kept[name].dims != dims]
    if not fitting:
        raise DataError(f"{title(over)}: no map to draw over an image; it has {list(over.data_vars)}")
    names = banded or fitting
    maps = over[[*names, *(error for name in names if (error := error_of(over[name])) in kept)]]
    return unlinked(maps.assign({name: as_intensity(array) for name, array in maps.data_vars.items()}))


def _renamed(moved: xr.Dataset, below: xr.Dataset) -> xr.Dataset:
    """Return what lies over a dataset with names of its own, and with its errors named by them."""
    names = {str(key): f"{key}_overlay" for key in moved.data_vars if key in below.data_vars}
    names |= {stderr_name(key): stderr_name(name) for key, name in names.items() if stderr_name(key) in moved}
    renamed = moved.rename(names)
    links = {key: [names.get(link, link) for link in linked(array)] for key, array in renamed.data_vars.items()}
    return unlinked(renamed.assign({key: with_links(renamed[key], link) for key, link in links.items()}))


def as_intensity(array: xr.DataArray) -> xr.DataArray:
    """Return counts as the intensity of a pixel, which may be seen twice; other values as they are."""
    if kind(array) != "sum":
        return array
    return array.assign_attrs({CELL_METHODS: cell_methods(spatial_dims(array), "mean")[CELL_METHODS]})


def _names(array: xr.DataArray) -> list[str]:
    bands = [dim for dim in ("component", "channel") if dim in array.dims]
    return [str(label) for label in array[bands[0]].values] if bands else [str(array.name)]


def _base(ds: xr.Dataset, options: Options) -> str:
    """Return the image that lies below: the variable that is named, a photograph, or the first grey array."""
    if options.variable is not None:
        return options.variable
    photographs = [str(name) for name in ds.data_vars if layers.photograph(ds, str(name))]
    return photographs[0] if photographs else str(layers.scalar(ds).name)


def _points(points: xr.Dataset, ds: xr.Dataset) -> Points:
    columns = [points[dim].values if dim in points.coords else np.zeros(points.sizes["point"]) for dim in SPATIAL]
    at = between(points, ds)(np.stack(columns, axis=-1))
    known = np.isfinite(at).all(axis=-1)
    radius = points[RADIUS].values[known].astype(np.float64) if RADIUS in points else None
    return Points(title(points), at[known], radius)
