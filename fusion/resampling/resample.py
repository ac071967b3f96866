"""Resampling: bring a dataset onto the grid of another one through their poses.

Values, their coverage and their standard errors come back together. All channels go through one pass, and what is
lazy stays lazy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import (
    LINKS,
    SPATIAL,
    Kind,
    cell_methods,
    check,
    error_of,
    kind,
    linked,
    spatial_dims,
    title,
    with_links,
)
from fusion.errors import ConventionError, DataError
from fusion.frames import POSE, get_pose, transform_between, with_pose
from fusion.grids.geometry import Geometry, geometry
from fusion.grids.shares import sampling
from fusion.model import require_lengths
from fusion.resampling.blocks import Reader, run
from fusion.resampling.boxes import Boxes
from fusion.resampling.points import OUTSIDE, points
from fusion.resampling.size import announce
from fusion.resampling.warped import warped
from fusion.warp import Transform, as_parameters

Array = npt.NDArray[Any]
Method = Literal["auto", "counts", "mean", "linear", "nearest"]
COVERAGE: Final = "coverage"
SHARE: Final = "_share"


def resample(
    ds: xr.Dataset,
    grid: xr.Dataset,
    *,
    transform: Transform | None = None,
    method: Method = "auto",
    depth: float | None = None,
) -> xr.Dataset:
    """Bring a dataset onto the spatial grid of another one.

    Parameters
    ----------
    ds : Dataset
        With spatial dims z, y, x (those that exist), in um. Variables without spatial dims pass through.
    grid : Dataset
        Its spatial coordinates and its pose are those of the result.
    transform : Affine or Warp, optional
        Maps coordinates of `ds` to coordinates of `grid`. Left out, it is what the two poses say. A warp leads corners
        of voxels to where they come from, to 0.01 of a pixel, and edges between them are straight.
    method : {"auto", "counts", "mean", "linear", "nearest"}
        "auto" goes by what a value is. Counts (``cell_methods: sum``) are placed by the share of each pixel that lies
        in a voxel ("counts"): their sum is kept. Other values become the mean of their linear interpolant over the
        voxel ("mean"): where voxels are no larger than pixels this is linear interpolation at their centres, on a
        coarse grid the mean over all pixels within the voxel. Labels become the one with the largest share of the
        voxel, and that share is the variable ``<name>_share``.
        "linear" and "nearest" read at the centre of the voxel, labels always from the nearest pixel. Counts are
        refused by "linear" and "mean", because neither conserves them; other values by "counts".
    depth : float, optional
        Thickness in um of a map without z (or with a single plane): how far along its normal it speaks for the
        specimen, half to each side of its plane. ``numpy.inf`` for a projection. Left out, it is one step of the
        grid along the normal of the map, so that the plane is one voxel thick; between two images without z it is
        infinite.

    Returns
    -------
    Dataset
        On the spatial dims of `grid`: each variable with NaN outside (labels: -1, named ``outside``), standard errors
        as those of independent pixels (the square root of the sum of squared weights times variances), and
        ``coverage``: the share of the voxel that lies within the dataset, which reaches half a pixel beyond its
        outermost centres. By "linear" and "nearest", and by "mean" between images or volumes whose voxels are no
        larger than pixels, it is 1 where the centre of the voxel lies within the dataset and 0 elsewhere; "linear"
        leaves out the outer half pixels.

    Warns
    -----
    LargeResultWarning
        If the result takes more than 1 GB and nothing is lazy: a small map on a fine grid may fill the memory.

    Raises
    ------
    FrameError
        If the datasets share no frame and no transform is given.
    UnitError
        If a pixel size is not known.
    ConventionError
        If counts are to be interpolated, or means to be placed as counts.
    DataError
        If the dataset does not overlap the grid at all, counts are to be placed in cells without thickness, or a warp
        folds the grid, so that its voxels have no volume.

    Notes
    -----
    Shares of pixels are exact, except between even grids that are turned about more than one axis and have more than
    20,000 voxels: there they come from a table of the footprint of a pixel, values within a thousandth (rms) of the
    exact ones, their sum exact as ever (`fusion.grids.footprints`).

    The standard error is that of the map as it was measured, pixels independent of each other; neighbouring voxels
    read the same pixels and are correlated. For a mean over voxels with its error use `fusion.region_mean`.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> values = np.arange(12.0).reshape(3, 4)
    >>> map_ = dataset({"image": (("y", "x"), values)}, {"y": Axis("um", 1.0), "x": Axis("um", 1.0)},
    ...                name="map", cell_methods="mean", frame="stage")
    >>> fine = dataset({"image": (("y", "x"), np.ones((2, 3)))}, {"y": Axis("um", 1.0), "x": Axis("um", 0.5)},
    ...                name="sem", cell_methods="mean", frame="stage")
    >>> resample(map_, fine, method="linear")["image"].values
    array([[0. , 0.5, 1. ],
           [4. , 4.5, 5. ]])
    """
    if method not in get_args(Method):
        raise ConventionError([f"method: {method!r} where {' or '.join(map(repr, get_args(Method)))} is expected"])
    ds, grid = check(ds), check(grid)
    for one in (ds, grid):
        require_lengths(one, "resampled")
    if not spatial_dims(grid):
        raise DataError(f"{title(grid)}: points are no grid; a dataset with dims y and x is needed")
    transform = transform_between(ds, grid, transform)
    placed = geometry(ds, grid, transform, depth)
    _refuse_apart(ds, grid, placed)
    announce(ds, grid)
    moved = _moved(ds, grid, placed, method)
    coverage = moved[COVERAGE]
    if coverage.chunks is None and not coverage.any():
        raise DataError(
            f"{title(ds)} covers no point of the grid of {title(grid)}; check the transform, or give depth="
        )
    result = _assembled(ds, grid, moved)
    parameters = {"method": method, "depth": depth, **as_parameters(transform)}
    return provenance.record(result, "fusion.resample", parameters, parents=[grid])


def _refuse_apart(ds: xr.Dataset, grid: xr.Dataset, placed: Geometry) -> None:
    """Refuse a grid whose bounding box, seen from the source, does not touch the source."""
    for dim, edges, (low, high) in zip(SPATIAL, placed.source.edges, placed.bounds(), strict=True):
        if high < edges[0] or low > edges[-1]:
            raise DataError(
                f"{title(ds)} misses the grid of {title(grid)}: they do not "
                f"overlap along {dim}; check the transform and that both are in um"
            )


def _moved(ds: xr.Dataset, grid: xr.Dataset, placed: Geometry, method: Method) -> dict[Any, xr.DataArray]:
    """Return all spatial variables on the grid, and how much of each voxel the dataset covers."""
    stale = {COVERAGE, *(f"{name}{SHARE}" for name in ds.data_vars if kind(ds[name]) == "label")}
    spatial = [name for name, variable in ds.data_vars.items() if spatial_dims(variable) and name not in stale]
    if not spatial:
        raise DataError(f"{title(ds)}: no variable has a spatial dim; its dims are {set(ds.dims)}")
    owners = {error_of(variable): variable for variable in ds.data_vars.values()}
    moved: dict[Any, xr.DataArray] = {}
    coverage: xr.DataArray | None = None
    for name in spatial:
        owner = owners.get(str(name), ds[name])
        reader = _reader(owner, ds, placed, method)
        moved[name], inside = _move(ds[name], grid, reader, squared=name in owners)
        coverage = inside if coverage is None else _larger(coverage, inside)
        if isinstance(reader, Boxes) and reader.rule == "label":
            shares, _ = _move(ds[name], grid, replace(reader, rule="share"), squared=False)
            shares.attrs = _share_attrs(ds[name], spatial_dims(grid))
            moved[f"{name}{SHARE}"] = shares
            moved[name] = with_links(moved[name], [*linked(moved[name]), f"{name}{SHARE}"])
    assert coverage is not None
    return moved | {COVERAGE: coverage}


def _larger(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    return first.copy(data=np.maximum(first.data, second.data))


def _reader(variable: xr.DataArray, ds: xr.Dataset, placed: Geometry, method: Method) -> Reader:
    """Choose how a variable is read, by what its values are."""
    of = kind(variable)
    _refuse_method(str(variable.name), of, method)
    if method in ("linear", "nearest"):
        return _at_centres(ds, placed, "nearest" if of == "label" else method)
    if of in ("sum", "label") and not placed.solid:
        if of == "sum":
            raise DataError(
                f"{variable.name}: counts need cells with a volume, and the grid or the map has none along one axis; "
                "give depth=, use fusion.project for a sum along the beam, or fusion.backproject"
            )
        return _at_centres(ds, placed, "nearest")
    if of in ("sum", "label"):
        placed.require_unfolded()
        return Boxes(placed, "counts" if of == "sum" else "label", outside=OUTSIDE)
    where = sampling(placed)
    if where.single and not np.isfinite(placed.widths).any():
        return _at_centres(ds, placed, "linear", rim=0.5)
    placed.require_unfolded()
    return Boxes(placed, "mean", sampling=where)


def _at_centres(ds: xr.Dataset, placed: Geometry, method: Literal["linear", "nearest"], *, rim: float = 0.0) -> Reader:
    return warped(ds, placed, method, rim=rim) if placed.mesh else points(ds, placed, method, rim=rim)


def _refuse_method(name: str, of: Kind, method: Method) -> None:
    if of == "sum" and method in ("linear", "mean"):
        raise ConventionError(
            [f"{name}: counts are conserved and cannot be interpolated or averaged; use method='auto' or 'counts', "
             "which keep their sum, or decompose them first"]
        )  # fmt: skip
    if of != "sum" and method == "counts":
        raise ConventionError([f"{name}: cell_methods says {of!r}, and method='counts' keeps a sum; use method='auto'"])


# Standard errors: the variance of a value is the sum of squared weights times the variances of the pixels, which are
# taken as independent. The reader therefore reads s² with squared weights (`squared`), and the root is taken here.
# Values of neighbouring voxels share pixels and are correlated; that is not kept.
def _move(
    variable: xr.DataArray, grid: xr.Dataset, reader: Reader, *, squared: bool
) -> tuple[xr.DataArray, xr.DataArray]:
    label = kind(variable) == "label"
    full = _prepared(variable, label)
    spatial = spatial_dims(grid)
    values, inside = run(full**2, grid, reader.for_variances()) if squared else run(full, grid, reader)
    extra = [dim for dim in variable.dims if dim not in SPATIAL]
    shape = tuple(grid.sizes[dim] for dim in spatial)
    moved = values.reshape(*shape, *(variable.sizes[dim] for dim in extra))
    attrs = _moved_attrs(variable, label, spatial)
    coverage = {
        "units": "1",
        "long_name": "share of the cell within the dataset",
        **cell_methods(spatial, "point"),
    }
    return (
        xr.DataArray(np.sqrt(moved) if squared else moved, dims=(*spatial, *extra), attrs=attrs),
        xr.DataArray(inside.reshape(shape), dims=spatial, attrs=coverage),
    )


def _prepared(variable: xr.DataArray, label: bool) -> Any:
    """Return the values as (z, y, x, channels), in a floating dtype unless they are labels."""
    spatial = spatial_dims(variable)
    if variable.dtype.kind not in "iufb":
        raise DataError(f"{variable.name}: {variable.dtype} values cannot be resampled; give real numbers, e.g. the "
                        "modulus of a complex image")  # fmt: skip
    shape = tuple(variable.sizes[dim] if dim in spatial else 1 for dim in SPATIAL)
    data = variable.data.reshape(*shape, -1)
    if label:
        return data.astype(np.int32 if data.dtype.itemsize < 4 else np.int64)
    small = data.dtype == np.float32 or (data.dtype.kind in "iub" and data.dtype.itemsize <= 2)
    return data.astype(np.float32 if small else np.float64, copy=False)


def _moved_attrs(variable: xr.DataArray, label: bool, spatial: tuple[str, ...]) -> dict[str, Any]:
    attrs = {key: value for key, value in variable.attrs.items() if key != "grid_mapping"}
    if label:
        values = np.asarray(attrs["flag_values"]).astype(np.int64 if variable.dtype.itemsize >= 4 else np.int32)
        if OUTSIDE not in values:
            attrs["flag_values"] = np.append(values, values.dtype.type(OUTSIDE))
            attrs["flag_meanings"] = f"{attrs.get('flag_meanings', '')} outside".strip()
    else:
        attrs |= {} if kind(variable) == "none" else cell_methods(spatial, kind(variable))
    return {**attrs, LINKS: " ".join(dict.fromkeys([*linked(variable), COVERAGE]))}


def _share_attrs(labels: xr.DataArray, spatial: tuple[str, ...]) -> dict[str, Any]:
    long_name = f"share of the covered part of the cell that has the label of {labels.name}"
    return {"units": "1", "long_name": long_name, **cell_methods(spatial, "mean")}


def _assembled(ds: xr.Dataset, grid: xr.Dataset, moved: Mapping[Any, xr.DataArray]) -> xr.Dataset:
    kept = {name: variable.variable for name, variable in ds.data_vars.items() if name not in moved}
    coords = {name: grid[name].variable for name in SPATIAL if name in grid.coords}
    others = {
        name: c.variable for name, c in ds.coords.items() if name not in SPATIAL and not set(c.dims) & set(SPATIAL)
    }
    others.pop(POSE, None)
    result = xr.Dataset({**kept, **moved}, coords={**others, **coords}, attrs=ds.attrs)
    return check(with_pose(result, *get_pose(grid)))
