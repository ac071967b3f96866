"""Projection along a beam, and its reverse: how a map that was taken through a volume is placed in it.

Both use the same weights, one the transpose of the other, so that no count is lost or gained on the way.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import LINKS, SPATIAL, cell_methods, check, error_of, kind, spacing, title
from fusion.errors import ConventionError, DataError
from fusion.frames import POSE, get_pose, transform_between, with_pose
from fusion.model import require_lengths
from fusion.placing.beams import Beam, Method, beam
from fusion.warp import Transform, as_parameters

Vector = npt.NDArray[np.float64]


def project(
    density: xr.DataArray,
    volume: xr.Dataset,
    grid: xr.Dataset,
    *,
    transform: Transform | None = None,
    method: Method = "shares",
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
    transform : Affine or Warp, optional
        Maps coordinates of `grid` to coordinates of `volume`; left out, it is what the two poses say.
    method : {"shares", "linear", "nearest"}
        How a voxel falls on the pixels: by the share of its volume that lies in the column of each ("shares"), or with
        its centre alone, shared between the four pixels around it or counted to the nearest.

    Returns
    -------
    DataArray (y, x)
        Sums; what falls beside the pixels (by "linear" their outermost centres) is left out.

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
    values = density.transpose("z", "y", "x").values
    through = beam(volume, grid, transform_between(grid, volume, transform), method, values)
    attrs = {"units": density.attrs.get("units", "1"), "long_name": "projection", **cell_methods("yx", "sum")}
    return xr.DataArray(
        through.shadow(values),
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
    transform: Transform | None = None,
    method: Method = "shares",
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
    transform : Affine or Warp, optional
        Maps coordinates of `ds` to coordinates of `volume`; left out, it is what the two poses say.
    method : {"shares", "linear", "nearest"}
        As in `project`. All conserve the sum of the counts whose pixels see density. By "shares" these are all pixels
        whose column meets a voxel with density; by the other two a pixel between the centres of voxels sees none, and
        its counts are lost. The projection of the result by "nearest" is the map again, pixel by pixel.

    Returns
    -------
    Dataset (z, y, x, ...)
        Density times the ratio of counts to projected density, with its standard error where the counts have one
        (pixels independent, the density exact). The attribute ``lost_fraction`` says which share of the counts lies
        in pixels that see no density; those are in no voxel.

    Raises
    ------
    ConventionError
        If a variable is not a sum, or the density is negative, not finite or not there.
    DataError
        If no count falls on any density.

    Notes
    -----
    With the share A of each voxel in the column of each pixel and the density d: v = d * A (c / Aᵀd), so that
    1ᵀv = 1ᵀc; the variance of v is d² * A² (s² / (Aᵀd)²) for independent errors s of the counts.

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
    errors = {error_of(ds[name]) for name in names}
    if faults := _density_faults(volume, density) + _count_faults(ds, [n for n in names if n not in errors]):
        raise ConventionError(faults)
    weight = volume[density].transpose("z", "y", "x").values.astype(float)
    transform = transform_between(ds, volume, transform)
    through = beam(volume, ds, transform, method, weight)
    shadow = through.shadow(weight)
    lost = {str(name): _lost(ds[name], shadow) for name in names if name not in errors}
    if min(lost.values()) >= 1.0:
        raise DataError(f"{title(ds)}: no count falls on any {density} of {title(volume)}; check the transform")
    spread = {name: _spread(ds[name], through, shadow, weight, squared=name in errors) for name in names}
    for name, fraction in lost.items():
        spread[name][2]["lost_fraction"] = fraction
    placed = on_grid(volume[[density]].drop_vars(density), ds, spread)
    parameters = {"density": density, "method": method, **as_parameters(transform)}
    return check(provenance.record(placed, "fusion.backproject", parameters, parents=[volume], source=ds))


def on_grid(grid: xr.Dataset, ds: xr.Dataset, variables: Mapping[Hashable, Any]) -> xr.Dataset:
    """Return variables on the spatial grid, with the signal axes and attributes of `ds`."""
    signal = {key: c.variable for key, c in ds.coords.items() if key not in (*SPATIAL, POSE) and "y" not in c.dims}
    placed = grid.assign_coords(signal).assign(variables).assign_attrs(ds.attrs)
    return with_pose(placed, *get_pose(grid))


# The ratio of counts to projected density is a property of the beam; each voxel takes its density times the mean ratio
# of the pixels it falls on. A pixel without density behind it has no ratio, and its counts are lost.
def _spread(
    counts: xr.DataArray, through: Beam, shadow: Vector, weight: Vector, *, squared: bool = False
) -> tuple[tuple[str, ...], Vector, dict[str, object]]:
    extra = [str(dim) for dim in counts.dims if dim not in ("y", "x")]
    flat = counts.transpose("y", "x", *extra).values.reshape(*shadow.shape, -1)
    seen, power = shadow[..., None], 2 if squared else 1
    ratio = np.divide(flat**power, seen**power, out=np.zeros(flat.shape), where=seen > 0)
    values = through.lit(ratio, squared=squared) * weight[..., None] ** power
    dims = ("z", "y", "x")
    attrs = {**counts.attrs, **cell_methods(dims, "sum")}
    attrs.pop(LINKS, None)
    if error := error_of(counts):
        attrs[LINKS] = error
    shape = (*weight.shape, *(counts.sizes[dim] for dim in extra))
    return (*dims, *extra), (values**0.5 if squared else values).reshape(shape), attrs


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
