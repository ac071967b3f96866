"""Resampling: bring a dataset onto the grid of another one through their poses.

Values, their coverage and their standard errors come back together. All channels go through one pass, and what is
lazy stays lazy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.affine import Affine
from fusion.conventions import LINKS, SPATIAL, cell_methods, check, error_of, kind, linked, spacing, spatial_dims, title
from fusion.errors import ConventionError, DataError, FrameError
from fusion.frames import POSE, between, get_pose, set_pose
from fusion.model import require_lengths
from fusion.resampling.blocks import OUTSIDE, Job, Method, coordinates, run

Array = npt.NDArray[Any]
COVERAGE: Final = "coverage"


def resample(
    ds: xr.Dataset,
    grid: xr.Dataset,
    *,
    transform: Affine | None = None,
    method: Method = "linear",
    depth: float | None = None,
) -> xr.Dataset:
    """Bring a dataset onto the spatial grid of another one.

    Parameters
    ----------
    ds : Dataset
        With spatial dims z, y, x (those that exist), in um. Variables without spatial dims pass through.
    grid : Dataset
        Its spatial coordinates and its pose are those of the result.
    transform : Affine, optional
        Maps coordinates of `ds` to coordinates of `grid`. Left out, it is what the two poses say.
    method : {"linear", "nearest"}
        Labels are always taken from the nearest pixel. Counts (``cell_methods: sum``) are refused by "linear",
        because interpolation does not conserve them.
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
        ``coverage``, 1 where the point lies within the dataset and 0 elsewhere.

    Raises
    ------
    FrameError
        If the datasets share no frame and no transform is given.
    UnitError
        If a pixel size is not known.
    ConventionError
        If counts are to be interpolated.
    DataError
        If the dataset does not overlap the grid at all.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> values = np.arange(12.0).reshape(3, 4)
    >>> map_ = dataset({"image": (("y", "x"), values)}, {"y": Axis("um", 1.0), "x": Axis("um", 1.0)},
    ...                name="map", cell_methods="mean", frame="stage")
    >>> fine = dataset({"image": (("y", "x"), np.ones((2, 3)))}, {"y": Axis("um", 1.0), "x": Axis("um", 0.5)},
    ...                name="sem", cell_methods="mean", frame="stage")
    >>> resample(map_, fine)["image"].values
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
    transform = between(ds, grid) if transform is None else transform
    if not isinstance(transform, Affine):
        raise FrameError(f"a transform is a fusion.Affine; received {type(transform).__name__}")
    source = _source(ds, grid, transform, depth)
    _refuse_apart(ds, grid, source)
    spatial = [name for name, variable in ds.data_vars.items() if spatial_dims(variable) and name != COVERAGE]
    if not spatial:
        raise DataError(f"{title(ds)}: no variable has a spatial dim; its dims are {set(ds.dims)}")
    errors = {error_of(variable) for variable in ds.data_vars.values()}
    moved: dict[Any, xr.DataArray] = {}
    for name in spatial:
        moved[name], moved[COVERAGE] = _move(ds[name], grid, source, method, squared=name in errors)
    coverage = moved[COVERAGE]
    if coverage.chunks is None and not coverage.any():
        raise DataError(
            f"{title(ds)} covers no place of the grid of {title(grid)}; check the transform, or give depth="
        )
    result = _assembled(ds, grid, moved)
    parameters = {"method": method, "depth": depth, "matrix": transform.matrix, "covariance": transform.covariance}
    return provenance.record(result, "fusion.resample", parameters, parents=[grid])


def _source(ds: xr.Dataset, grid: xr.Dataset, transform: Affine, depth: float | None) -> Job:
    """Fold the pixel grid of the source into the matrix that leads from grid coordinates to source pixels."""
    matrix = transform.inverse().matrix[:3].copy()
    axes: list[npt.NDArray[np.float64] | None] = [None, None, None]
    half = [0.5, 0.5, 0.5]
    for row, dim in enumerate(SPATIAL):
        values = np.atleast_1d(ds[dim].values).astype(np.float64) if dim in ds.coords else np.zeros(1)
        if values.size == 1:
            matrix[row, 3] -= values[0]
            half[row] = _half_depth(dim, ds, matrix[row], grid, depth)
        elif (step := spacing(ds[dim])) is not None:
            matrix[row, 3] -= values[0]
            matrix[row] /= step
        else:
            axes[row] = values
    return Job(matrix, tuple(axes), (half[0], half[1], half[2]))


def _half_depth(
    dim: str, ds: xr.Dataset, normal: npt.NDArray[np.float64], grid: xr.Dataset, depth: float | None
) -> float:
    if depth is not None:
        if not depth > 0:
            raise DataError(f"depth is a positive thickness in um, or numpy.inf; received {depth!r}")
        return depth / 2.0
    if dim != "z":
        raise DataError(f"{title(ds)}: one pixel along {dim} does not say how wide it is; give "
                        "depth= in um or use a larger map")  # fmt: skip
    if "z" not in grid.dims:
        return np.inf
    steps = [float(np.diff(grid[axis].values).max(initial=0.0)) if axis in grid.dims else 0.0 for axis in SPATIAL]
    if steps[0] == 0.0:
        raise DataError("the grid has a single plane, which does not say how thick it is; give depth= in um")
    # the longest projection of a voxel edge on the normal: any plane then meets at least one voxel centre
    return float(np.max(np.abs(normal[:3]) * steps)) / 2.0 * (1.0 + 1e-9)


def _refuse_apart(ds: xr.Dataset, grid: xr.Dataset, source: Job) -> None:
    """Refuse a grid whose bounding box, seen from the source, does not touch the source."""
    corners = np.stack(np.meshgrid(*([values.min(), values.max()] for values in coordinates(grid)), indexing="ij"))
    seen = np.tensordot(source.matrix[:, :3], corners, axes=1).reshape(3, -1) + source.matrix[:, 3:]
    for row, dim in enumerate(SPATIAL):
        axis, size = source.axes[row], ds.sizes.get(dim, 1)
        low, high = (axis[0], axis[-1]) if axis is not None else (0.0, size - 1.0)
        margin = source.half[row] if size == 1 else 0.5 if axis is None else np.diff(axis).max() / 2
        if seen[row].max() < low - margin or seen[row].min() > high + margin:
            raise DataError(
                f"{title(ds)} misses the grid of {title(grid)}: they do not "
                f"overlap along {dim}; check the transform and that both are in um"
            )


def _move(
    variable: xr.DataArray, grid: xr.Dataset, source: Job, method: Method, *, squared: bool
) -> tuple[xr.DataArray, xr.DataArray]:
    label = kind(variable) == "label"
    if kind(variable) == "sum" and method == "linear":
        raise ConventionError(
            [f"{variable.name}: counts are conserved and cannot be interpolated; decompose them first, use "
             "method='nearest', or divide by the pixel area and call the result a mean"]
        )  # fmt: skip
    full = _prepared(variable, label)
    spatial = spatial_dims(grid)
    chosen: Method = "nearest" if label else method
    squared = squared and chosen == "linear"
    values, inside = run(full**2 if squared else full, grid, replace(source, method=chosen, squared=squared))
    extra = [dim for dim in variable.dims if dim not in SPATIAL]
    shape = tuple(grid.sizes[dim] for dim in spatial)
    moved = values.reshape(*shape, *(variable.sizes[dim] for dim in extra))
    if squared:
        moved = moved**0.5
    attrs = _moved_attrs(variable, label, spatial)
    coverage = {"units": "1", "long_name": "1 within the dataset, 0 outside", **cell_methods(spatial, "point")}
    return (
        xr.DataArray(moved, dims=(*spatial, *extra), attrs=attrs),
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


def _assembled(ds: xr.Dataset, grid: xr.Dataset, moved: Mapping[Any, xr.DataArray]) -> xr.Dataset:
    kept = {name: variable.variable for name, variable in ds.data_vars.items() if name not in moved}
    coords = {name: grid[name].variable for name in SPATIAL if name in grid.coords}
    others = {
        name: c.variable for name, c in ds.coords.items() if name not in SPATIAL and not set(c.dims) & set(SPATIAL)
    }
    others.pop(POSE, None)
    result = xr.Dataset({**kept, **moved}, coords={**others, **coords}, attrs=ds.attrs)
    return check(set_pose(result, *get_pose(grid)))
