"""Means over a region of a volume, with an error that knows which voxels read the same pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.affine import Affine, kind_attrs
from fusion.conventions import LINKS, SPATIAL, check, error_of, kind, spatial_dims, stderr_name, title
from fusion.display import edges
from fusion.errors import ConventionError, DataError
from fusion.frames import transform_between
from fusion.grids import shares
from fusion.grids.cells import Span
from fusion.grids.geometry import Geometry, geometry
from fusion.grids.mesh import Mesh, even_knots
from fusion.model import require_lengths
from fusion.resampling.resample import COVERAGE
from fusion.warp import Transform, Warp, as_parameters

Array = npt.NDArray[Any]
_STEPS: Final = 4
"""Steps along each axis of a region between which the error of a warp is taken as linear."""
_LEFT_OUT: Final = 1e-3
"""Share of the variance of a warp that is left out."""


def region_mean(
    ds: xr.Dataset,
    grid: xr.Dataset,
    region: xr.DataArray,
    *,
    transform: Transform | None = None,
    depth: float | None = None,
) -> xr.Dataset:
    """Return the mean of a map over a region of a volume, with its standard error, all correlations included.

    Voxels that are smaller than the pixels of the map read the same pixels: the mean of their values has an error that
    is larger than errors of independent voxels would give, by the square root of the voxels to a pixel.

    Parameters
    ----------
    ds : Dataset
        The map, e.g. a decomposition, with its own standard errors.
    grid : Dataset
        The volume on which `region` lies.
    region : DataArray
        On the spatial dims of `grid`: True, or a weight, for each voxel of the region.
    transform : Affine or Warp, optional
        Maps coordinates of `ds` to coordinates of `grid`; left out, it is what the two poses say. Its covariance, if it
        has one, adds the error of the position, which all voxels share.
    depth : float, optional
        Thickness in um of a map without z, as in `fusion.resample`.

    Returns
    -------
    Dataset
        For each spatial variable of `ds` that is no count and no label, the mean over the part of the region that the
        map covers, of the values that `fusion.resample` takes by "mean"; NaN where a pixel in it is NaN. Its standard
        error ``<name>_stderr``, where `ds` has one or the transform a covariance, is that of the map as it was
        measured: of its noise, and of where it lies; NaN where the region reaches beyond the landmarks of a warp. How
        well the map speaks for the specimen is not in it.
        The attribute ``covered`` says which share of the region the map covers.

    Raises
    ------
    ConventionError
        If `region` is not on the grid, or `ds` holds nothing that has a mean.
    DataError
        If the map covers nothing of the region.

    Notes
    -----
    With the weights W (voxel by pixel) of the mean over voxels and the region r, u = Wᵀr; the mean is u·m / Σu and its
    variance Σ u² s² / (Σu)², for independent pixel errors s: one pass of the adjoint. The variance of the position is
    the mean square change of the mean when the transform moves by ± one standard deviation along each principal
    direction of its covariance; of a warp, of the joint covariance of 5 points along each axis of the region.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> um, half = Axis("um", 1.0), Axis("um", 0.5, 0.25)
    >>> grid = dataset({"grey": (("y", "x"), np.ones((4, 4)))}, {"y": half, "x": half}, name="g", cell_methods="mean",
    ...                frame="s")
    >>> values = np.array([[1.0, 3.0, 9.0]]) * np.ones((3, 1))
    >>> variables = {"v": (("y", "x"), values, {"ancillary_variables": "v_stderr"}),
    ...              "v_stderr": (("y", "x"), np.ones((3, 3)))}
    >>> map_ = dataset(variables, {"y": um, "x": um}, name="m", cell_methods="mean", frame="s")
    >>> region_mean(map_, grid, grid["grey"] > 0)["v"].item()
    4.0
    """
    ds, grid = check(ds), check(grid)
    for one in (ds, grid):
        require_lengths(one, "averaged")
    weights = _weights(region, grid)
    names = _names(ds)
    transform = transform_between(ds, grid, transform)
    cells = geometry(ds, grid, transform, depth)
    cells.require_unfolded()
    u = _adjoint(cells, weights)
    if not u.sum() > 0:
        raise DataError(f"{title(ds)} covers nothing of the region; check the transform, or give depth=")
    if isinstance(transform, Warp) and not _vouched(cells, transform, weights):
        moved = [np.full(u.shape, np.nan)]
    elif isinstance(transform, Warp):
        moved = [_adjoint(near, weights) for near in _bent_otherwise(cells, transform, weights)]
    else:
        moved = [_adjoint(geometry(ds, grid, near, depth), weights) for near in _displaced(transform)]
    result = {}
    for name in names:
        result[name], error = _mean(ds, name, u, moved)
        if error is not None:
            error.attrs.update(kind_attrs(transform.lower_bound))
            result[stderr_name(name)] = error
    coords = {name: c.variable for name, c in ds.coords.items() if c.dims and not set(c.dims) & set(SPATIAL)}
    averaged = xr.Dataset(result, coords=coords, attrs=ds.attrs)
    averaged.attrs["covered"] = float(u.sum() / weights.sum())
    parameters = {"region": region, "depth": depth, **as_parameters(transform)}
    return provenance.record(averaged, "fusion.region_mean", parameters, parents=[grid])


def _mean(ds: xr.Dataset, name: str, u: Array, moved: list[Array]) -> tuple[xr.Variable, xr.Variable | None]:
    variable, error = ds[name], error_of(ds[name])
    extra = [str(dim) for dim in variable.dims if dim not in SPATIAL]
    mean = _dot(u, variable) / u.sum()
    variance = np.zeros(mean.shape)
    for near in moved:
        # two points a standard deviation away on either side: half the sum of squares is the mean square
        variance = variance + (_dot(near, variable) / near.sum() - mean) ** 2 / 2
    attrs = {key: variable.attrs[key] for key in ("units", "long_name") if key in variable.attrs}
    if error:
        # Σ u² s² / (Σ u)²: pixels are independent, voxels are not; hence u, which counts every pixel once.
        variance = variance + _dot(u**2, ds[error] ** 2) / u.sum() ** 2
    if not error and not moved:
        return xr.Variable(extra, mean, attrs), None
    linked = {**attrs, LINKS: stderr_name(name)}
    described = {"units": attrs.get("units", "1"), "long_name": f"standard error of the mean of {name} over the region"}
    return xr.Variable(extra, mean, linked), xr.Variable(extra, variance**0.5, described)


def _dot(u: Array, variable: xr.DataArray) -> Array:
    """Sum a variable over space with weights (z, y, x); a pixel without weight may be NaN."""
    dims = [dim for dim in SPATIAL if dim in variable.dims]
    flat = variable.transpose(*dims, ...).values.reshape(
        u.size, *(s for d, s in variable.sizes.items() if d not in dims)
    )
    used = np.flatnonzero(u)
    return np.asarray(np.tensordot(u.ravel()[used], flat[used].astype(float), axes=1))


def _adjoint(cells: Geometry, weights: Array) -> Array:
    """Return Wᵀr: how much each pixel (z, y, x) weighs in the region, in voxels."""
    where, total = shares.sampling(cells), np.zeros(cells.source.shape)
    everything: Span = tuple(slice(0, n) for n in cells.source.shape)  # type: ignore[assignment]
    for span in cells.slabs():
        if weights[span].any():
            operator = shares.means(cells.part(span, everything), where)
            # Slab by slab: Wᵀ r is a sum over voxels, so only the weights of one slab are held at a time.
            total += operator.turned().placed(weights[span][..., None])[..., 0]
    return total


# The pose is uncertain along the principal directions of its covariance: T ± σ_k v_k, two for each direction.
def _displaced(transform: Affine) -> list[Affine]:
    if not transform.is_uncertain:
        return []
    # Principal directions have independent amounts, so their mean squares add up to the variance of the whole
    # transform. Directions below a millionth of the largest standard deviation are rounding.
    variances, directions = np.linalg.eigh(transform.widening**2 * np.asarray(transform.covariance))
    moved = []
    for variance, direction in zip(variances, directions.T, strict=True):
        if variance <= 1e-12 * variances[-1] or variance <= 0:
            continue
        step = np.zeros((4, 4))
        step[:3] = (np.sqrt(variance) * direction).reshape(3, 4)
        moved += [Affine(transform.matrix + sign * step) for sign in (1.0, -1.0)]
    return moved


def _vouched(cells: Geometry, warp: Warp, weights: Array) -> bool:
    """Return whether all of a region lies within the landmarks of a warp: beyond them its error is not known."""
    return bool(warp.within(cells.seen().T[weights.ravel() > 0]).all())


# A warp is a random field: where two points of a region come from is off by amounts that are more or less alike. The
# principal directions of the joint covariance of a few points are fields of displacement with independent amounts,
# trilinear between the points; those that together make less than a thousandth of the variance are left out.
def _bent_otherwise(cells: Geometry, warp: Warp, weights: Array) -> Iterator[Geometry]:
    """Return the geometries in which a warp is off by ± one standard deviation along each principal direction."""
    if not warp.is_uncertain or cells.mesh is None:
        return
    used = [np.flatnonzero(weights.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    ends = [(axis[at[0]], axis[at[-1] + 1]) for axis, at in zip(cells.target.edges, used, strict=True)]
    knots = even_knots(ends, (_STEPS,) * 3)
    points = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1)
    joint = warp.widening**2 * warp.inverse().joint_covariance(points.reshape(-1, 3))
    variances, directions = np.linalg.eigh(joint.reshape(points.size, points.size))
    left = np.cumsum(variances) > _LEFT_OUT * variances.sum()
    for variance, direction in zip(variances[left], directions.T[left], strict=True):
        field = Mesh(knots, (np.sqrt(variance) * direction).reshape(points.shape)).at(cells.mesh.knots)
        for sign in (1.0, -1.0):
            yield replace(cells, mesh=Mesh(cells.mesh.knots, cells.mesh.values + sign * field))


def _weights(region: xr.DataArray, grid: xr.Dataset) -> Array:
    spatial = spatial_dims(grid)
    if set(region.dims) != set(spatial) or any(region.sizes[dim] != grid.sizes[dim] for dim in spatial):
        raise ConventionError([f"region: {dict(region.sizes)} where {title(grid)} has {dict(grid.sizes)}"])
    values = region.transpose(*spatial).values.astype(float)
    if not np.isfinite(values).all() or (values < 0).any():
        raise ConventionError(["region: weights are finite and not negative"])
    shape = [grid.sizes[dim] if dim in spatial else 1 for dim in SPATIAL]
    # A mean over a region is one over its volume: on an uneven axis a long voxel counts for more.
    return np.asarray(values.reshape(shape) * _cell_volumes(grid))


def _cell_volumes(grid: xr.Dataset) -> Array:
    """Return the relative volume of each voxel; an axis that is no dim counts as 1."""
    volumes = np.ones((1, 1, 1))
    for axis, dim in enumerate(SPATIAL):
        if dim in grid.dims and grid.sizes[dim] > 1:
            shape = [1, 1, 1]
            shape[axis] = -1
            volumes = volumes * np.diff(edges(grid[dim].values)).reshape(shape)
    return volumes


def _names(ds: xr.Dataset) -> list[str]:
    errors = {error_of(variable) for variable in ds.data_vars.values()}
    names = [str(n) for n in ds.data_vars if spatial_dims(ds[n]) and n != COVERAGE and n not in errors]
    names = [name for name in names if kind(ds[name]) not in ("sum", "label")]
    if not names:
        raise ConventionError(
            [f"{title(ds)}: nothing has a mean over a region; counts are placed and summed, labels counted"]
        )
    return names
