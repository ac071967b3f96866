"""Projection along a beam, and its reverse: how a map that was taken through a volume is placed in it.

Both use the same weights, one the transpose of the other, so that no count is lost or gained on the way.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.affine import Affine
from fusion.conventions import LINKS, SPATIAL, cell_methods, check, kind, spacing, title
from fusion.errors import ConventionError, DataError
from fusion.frames import POSE, between, get_pose, set_pose
from fusion.model import require_lengths
from fusion.resampling.blocks import Method

Vector = npt.NDArray[np.float64]


def project(
    density: xr.DataArray,
    volume: xr.Dataset,
    grid: xr.Dataset,
    *,
    transform: Affine | None = None,
    method: Method = "linear",
) -> xr.DataArray:
    """Sum a volume along z of `grid`, onto the pixels of `grid`.

    Parameters
    ----------
    density : DataArray (z, y, x)
        A variable of `volume`.
    volume : Dataset
        Carries coordinates in um and the pose of `density`.
    grid : Dataset
        With uniform y and x in um. The beam runs along z of its frame.
    transform : Affine, optional
        Maps coordinates of `grid` to coordinates of `volume`; left out, it is what the two poses say.
    method : {"linear", "nearest"}
        Whether a voxel is shared between the four pixels around the place it falls on, or belongs to the nearest.

    Returns
    -------
    DataArray (y, x)
        Sums; what falls beside the outermost pixel centres (linear) or edges (nearest) is left out.

    Raises
    ------
    DataError
        If `grid` has no uniform y and x, or has z, or `volume` lacks one of z, y and x.
    FrameError, UnitError
        If the two share no frame, or a pixel size is not known.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> um = {dim: Axis("um", 1.0) for dim in "zyx"}
    >>> volume = dataset({"mass": (("z", "y", "x"), np.ones((3, 2, 2)))}, um, name="v", cell_methods="sum", frame="s")
    >>> grid = dataset({"counts": (("y", "x"), np.eye(2))}, {"y": um["y"], "x": um["x"]}, name="g",
    ...                cell_methods="sum", frame="s")
    >>> project(volume["mass"], volume, grid).values
    array([[3., 3.],
           [3., 3.]])
    """
    _require_projectable(volume, grid)
    rays = _rays(density, grid, transform or between(grid, volume), method)
    attrs = {"units": density.attrs.get("units", "1"), "long_name": "projection", **cell_methods("yx", "sum")}
    return xr.DataArray(
        _shadow(rays, grid),
        dims=("y", "x"),
        coords={"y": grid["y"], "x": grid["x"]},
        name="projection",
        attrs=attrs,
    )


def backproject(
    ds: xr.Dataset,
    volume: xr.Dataset,
    *,
    density: str,
    transform: Affine | None = None,
    method: Method = "linear",
) -> xr.Dataset:
    """Place a projected map in a volume along its beam, weighted by a density; counts are conserved.

    Parameters
    ----------
    ds : Dataset (y, x, ...)
        Variables with ``cell_methods: sum``: counts of a projection. The beam runs along z of its frame.
    volume : Dataset (z, y, x)
        Holds `density`; its grid is that of the result.
    density : str
        A variable of `volume`, not negative, that says where along the beam the counts came from.
    transform : Affine, optional
        Maps coordinates of `ds` to coordinates of `volume`; left out, it is what the two poses say.
    method : {"linear", "nearest"}
        As in `project`. Both conserve the sum. The projection of the result by "nearest" is the map again, pixel by
        pixel; "linear" is smoother and shares counts between neighbouring pixels.

    Returns
    -------
    Dataset (z, y, x, ...)
        Density times the ratio of counts to projected density. The attribute ``lost_fraction`` says which share of
        the counts fell where there is no density.

    Raises
    ------
    ConventionError
        If a variable is not a sum, or the density is negative, not finite or not there.
    DataError
        If no count falls on any density.

    Notes
    -----
    With interpolation weights A (voxel by pixel) and density d: v = d * A (c / Aᵀd), so that 1ᵀv = 1ᵀc.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> um = {dim: Axis("um", 1.0) for dim in "zyx"}
    >>> mass = np.array([1.0, 3.0])[:, None, None] * np.ones((2, 2, 2))
    >>> volume = dataset({"mass": (("z", "y", "x"), mass)}, um, name="v", cell_methods="sum", frame="s")
    >>> grid = dataset({"counts": (("y", "x"), 8.0 * np.eye(2))}, {"y": um["y"], "x": um["x"]}, name="g",
    ...                cell_methods="sum", frame="s")
    >>> backproject(grid, volume, density="mass")["counts"].values[:, 0, 0]
    array([2., 6.])
    """
    ds, volume = check(ds), check(volume)
    _require_projectable(volume, ds)
    names = [name for name, variable in ds.data_vars.items() if {"y", "x"} <= set(variable.dims)]
    if faults := _density_faults(volume, density) + _count_faults(ds, names):
        raise ConventionError(faults)
    rays = _rays(volume[density], ds, transform or between(ds, volume), method)
    shadow = _shadow(rays, ds)
    lost = {str(name): _lost(ds[name], shadow) for name in names}
    if min(lost.values()) >= 1.0:
        raise DataError(f"{title(ds)}: no count falls on any {density} of {title(volume)}; check the transform")
    spread = {name: _spread(ds[name], rays, shadow, volume[density], lost[str(name)]) for name in names}
    placed = _on_grid(volume[[density]].drop_vars(density), ds, spread)
    parameters = {"density": density, "method": method, "lost_fraction": lost}
    return check(provenance.record(placed, "fusion.backproject", parameters))


def _on_grid(grid: xr.Dataset, ds: xr.Dataset, variables: Mapping[Hashable, Any]) -> xr.Dataset:
    """Return variables on the spatial grid, with the signal axes and attributes of `ds`."""
    signal = {key: c.variable for key, c in ds.coords.items() if key not in (*SPATIAL, POSE) and "y" not in c.dims}
    placed = grid.assign_coords(signal).assign(variables).assign_attrs(ds.attrs)
    return set_pose(placed, *get_pose(grid))


def _spread(
    counts: xr.DataArray, rays: _Rays, shadow: Vector, density: xr.DataArray, lost: float
) -> tuple[tuple[str, ...], Vector, dict[str, object]]:
    """Return counts at voxels: the density of each times the ratio that its pixels have."""
    extra = [str(dim) for dim in counts.dims if dim not in ("y", "x")]
    density = density.transpose("z", "y", "x")
    flat = counts.transpose("y", "x", *extra).values.reshape(shadow.size, -1)
    ratio = np.divide(flat, shadow.reshape(-1, 1), out=np.zeros(flat.shape), where=shadow.reshape(-1, 1) > 0)
    seen = np.einsum("nc,nck->nk", rays.weights, ratio[rays.pixels])
    values = np.zeros((*density.shape, flat.shape[1]))
    values[rays.voxels] = seen * rays.values[:, None]
    shape = (*density.shape, *(counts.sizes[dim] for dim in extra))
    dims = tuple(map(str, density.dims))
    attrs = {**counts.attrs, **cell_methods(dims, "sum"), "lost_fraction": lost}
    attrs.pop(LINKS, None)
    return (*dims, *extra), values.reshape(shape), attrs


def _density_faults(volume: xr.Dataset, density: str) -> list[str]:
    if density not in volume:
        return [f"{title(volume)}: no variable {density!r}; it has {sorted(map(str, volume.data_vars))}"]
    if not bool((np.isfinite(volume[density]) & (volume[density] >= 0)).all()):
        return [f"{density}: a density is finite and not negative"]
    return []


def _count_faults(ds: xr.Dataset, names: list[Hashable]) -> list[str]:
    if not names:
        return [f"{title(ds)}: no variable has y and x"]
    return [f"{name}: counts (cell_methods 'sum') are needed" for name in names if kind(ds[name]) != "sum"]


def _lost(counts: xr.DataArray, shadow: Vector) -> float:
    pixels = counts.sum([dim for dim in counts.dims if dim not in ("y", "x")]).values
    total = float(pixels.sum())
    return float(pixels[shadow <= 0].sum()) / total if total else 1.0


def _require_projectable(volume: xr.Dataset, grid: xr.Dataset) -> None:
    for ds in (volume, grid):
        require_lengths(ds, "projected")
    if any(dim not in grid.dims or spacing(grid[dim]) is None for dim in ("y", "x")) or "z" in grid.dims:
        raise DataError(
            f"{title(grid)}: a projection lies on uniform y and x without z; its dims are {dict(grid.sizes)}"
        )
    if not {"z", "y", "x"} <= set(volume.dims):
        raise DataError(f"{title(volume)}: a volume with z, y and x is needed; its dims are {dict(volume.sizes)}")


class _Rays(NamedTuple):
    """The voxels that hold anything and lie before the grid: their index, value, pixels (n, c) and weights (n, c)."""

    voxels: tuple[npt.NDArray[np.intp], ...]
    values: Vector
    pixels: npt.NDArray[np.intp]
    weights: Vector


def _rays(density: xr.DataArray, grid: xr.Dataset, transform: Affine, method: Method) -> _Rays:
    density = density.transpose("z", "y", "x")
    voxels = np.nonzero(density.values)
    points = np.stack([density[dim].values[index] for dim, index in zip("zyx", voxels, strict=True)], axis=-1)
    seen = transform.inverse()(points)
    size = {dim: grid.sizes[dim] for dim in ("y", "x")}
    place = [(seen[:, column] - grid[dim].values[0]) / spacing(grid[dim]) for column, dim in ((1, "y"), (2, "x"))]
    reach = 1e-6 if method == "linear" else 0.5
    bounds = [(p >= -reach) & (p < size[dim] - 1 + reach) for p, dim in zip(place, ("y", "x"), strict=True)]
    inside = np.logical_and.reduce(bounds)
    row, column = (p[inside] for p in place)
    pixels, weights = _corners(row, column, size["y"], size["x"], method)
    kept = tuple(index[inside] for index in voxels)
    return _Rays(kept, density.values[kept].astype(float), pixels, weights)


def _corners(
    row: Vector, column: Vector, rows: int, columns: int, method: Method
) -> tuple[npt.NDArray[np.intp], Vector]:
    """Return the pixels that share in each place, and their weights."""
    if method == "nearest":
        nearest = np.floor(row + 0.5).astype(np.intp) * columns + np.floor(column + 0.5).astype(np.intp)
        return nearest[:, None], np.ones((row.size, 1))
    low_row = np.clip(np.floor(row), 0, max(rows - 2, 0)).astype(np.intp)
    low_column = np.clip(np.floor(column), 0, max(columns - 2, 0)).astype(np.intp)
    v, u = _fraction(row - low_row), _fraction(column - low_column)
    corner = low_row * columns + low_column
    pixels = np.stack([corner, corner + 1, corner + columns, corner + columns + 1], axis=-1)
    return pixels, np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], axis=-1)


def _fraction(part: Vector) -> Vector:
    """Return how far between two pixels; one that is met through rounding alone must not count as seen."""
    whole = np.rint(part)
    return np.clip(np.where(np.abs(part - whole) < 1e-9, whole, part), 0.0, 1.0)


def _shadow(rays: _Rays, grid: xr.Dataset) -> Vector:
    shape = (grid.sizes["y"], grid.sizes["x"])
    shares = (rays.weights * rays.values[:, None]).ravel()
    summed = np.bincount(rays.pixels.ravel(), shares, minlength=shape[0] * shape[1])
    return np.asarray(summed, dtype=np.float64).reshape(shape)
