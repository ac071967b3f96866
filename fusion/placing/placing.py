"""Counts of a map placed in a volume, and a volume measured on the pixels of a map: one operator and its adjoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import LINKS, SPATIAL, cell_methods, check, error_of, kind, spatial_dims, title
from fusion.errors import ConventionError, DataError
from fusion.frames import get_pose, transform_between, with_pose
from fusion.grids import shares
from fusion.grids.geometry import Geometry, geometry
from fusion.model import require_lengths
from fusion.placing import probing
from fusion.placing.projection import on_grid
from fusion.placing.response import Response
from fusion.progress import counted
from fusion.resampling.resample import COVERAGE, resample
from fusion.warp import Transform, as_parameters

Array = npt.NDArray[Any]
FINEST: Final = 0.5
"""Pixels that a voxel may be wide for counts to be placed so that measuring them gives the map again."""
_ROUNDS: Final = 300
_CLOSE: Final = 1e-9


def place(
    ds: xr.Dataset,
    volume: xr.Dataset,
    *,
    transform: Transform | None = None,
    depth: float | None = None,
    response: Response | None = None,
    consistent: bool = False,
) -> xr.Dataset:
    """Place the counts of a map in a volume by shares of its pixels; their sum is kept.

    Parameters
    ----------
    ds : Dataset
        Its spatial variables are counts (``cell_methods: sum``) and their standard errors.
    volume : Dataset
        Its grid is that of the result.
    transform : Affine or Warp, optional
        Maps coordinates of `ds` to coordinates of `volume`; left out, it is what the two poses say.
    depth : float, optional
        Thickness in um of a map without z, as in `fusion.resample`; finite.
    response : Response, optional
        How the signal of a pixel is spread over depth, and where the surface lies, in place of `depth`. Counts from
        beyond the volume are lost.
    consistent : bool
        Share the counts within a pixel unevenly, so that `fusion.measure` gives the map again. Needs voxels of at most
        half a pixel. Standard errors are then left out, because the shares depend on the counts.

    Returns
    -------
    Dataset
        Counts in the voxels, NaN where the map covers nothing, ``coverage``, and for each variable the attribute
        ``lost_fraction``: the share of its counts that lies beyond the volume. Values are computed, also lazy ones.

    Raises
    ------
    ConventionError
        If a variable is no count.
    DataError
        If the voxels are too coarse for `consistent`, or as in `fusion.resample`.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> um = {"z": Axis("um", 1.0), "y": Axis("um", 0.5, -0.25), "x": Axis("um", 1.0)}
    >>> volume = dataset({"grey": (("z", "y", "x"), np.ones((2, 4, 3)))}, um, name="v", cell_methods="mean", frame="s")
    >>> counts = dataset({"n": (("y", "x"), np.full((2, 3), 8.0))}, {"y": Axis("um", 1.0), "x": um["x"]}, name="m",
    ...                  cell_methods="sum", frame="s")
    >>> place(counts, volume, depth=1.0)["n"].values[0, :, 0]
    array([4., 4., 4., 4.])
    """
    ds, volume = check(ds), check(volume)
    _require_counts(ds)
    transform = transform_between(ds, volume, transform)
    if response is not None:
        return _through(ds, volume, transform, response, depth, consistent)
    kept = ds.drop_vars([name for name in _errors(ds) if consistent])
    cells = _cells(ds, volume, transform, depth)
    placed = resample(kept, volume, transform=transform, method="counts", depth=depth).load()
    if consistent:
        _require_fine(ds, volume, cells)
        operator = shares.exact(cells)
    for name in [name for name in placed.data_vars if kind(placed[name]) == "sum"]:
        if consistent:
            values = _consistent(operator, _channels(ds[name]), _channels(placed[name]))
            placed[name] = placed[name].copy(data=values.reshape(placed[name].shape))
        placed[name].attrs["lost_fraction"] = _lost(ds[name], placed[name])
    parameters = {"depth": depth, "consistent": consistent, **as_parameters(transform)}
    return check(provenance.record(placed, "fusion.place", parameters, parents=[volume], source=ds))


def _lost(counts: xr.DataArray, placed: xr.DataArray) -> float:
    """Return which share of the counts is in no voxel."""
    # What is lost is measured and not inferred: counts of the map less counts in the volume, rounding taken off.
    # 1e-12 of all counts is rounding of the sums, of some 10⁶ shares.
    total = float(counts.sum())
    return max(0.0, round(1.0 - float(placed.sum()) / total, 12)) if total else 0.0


def _through(
    ds: xr.Dataset, volume: xr.Dataset, transform: Transform, response: Response, depth: float | None, consistent: bool
) -> xr.Dataset:
    """Place counts through a response."""
    if depth is not None or consistent:
        raise DataError("a response says how deep a pixel reaches; leave out depth= and consistent=")
    variables = probing.placed(ds, probing.probe(ds, volume, transform, response))
    placed = on_grid(volume.drop_vars(list(volume.data_vars)), ds, variables)
    for name in [name for name in placed.data_vars if kind(placed[name]) == "sum" and name not in _errors(placed)]:
        placed[name].attrs["lost_fraction"] = _lost(ds[name], placed[name])
    parameters = {"response": response.described(), **as_parameters(transform)}
    return check(provenance.record(placed, "fusion.place", parameters, parents=[volume], source=ds))


def measure(
    volume: xr.Dataset,
    grid: xr.Dataset,
    *,
    transform: Transform | None = None,
    depth: float | None = None,
    response: Response | None = None,
) -> xr.Dataset:
    """Return what a map would measure of a volume: the adjoint of `place`.

    Parameters
    ----------
    volume : Dataset
        Means become the mean over the part of the volume that a pixel covers. Counts of a voxel go to the pixels by
        their share of it, or of what its variable ``coverage`` says is covered, as in the result of `place`.
    grid : Dataset
        The map: its spatial coordinates and its pose are those of the result.
    transform : Affine or Warp, optional
        Maps coordinates of `grid` to coordinates of `volume`, as for `place`; left out, it is what the two poses say.
    depth : float, optional
        Thickness in um of a map without z, as in `fusion.resample`; finite.
    response : Response, optional
        How the probe weighs depths, in place of `depth`, as for `place`; for means only.

    Returns
    -------
    Dataset
        On the spatial dims of `grid`, NaN where a pixel covers nothing. Standard errors are left out: voxels are in
        general correlated, and how is not known here.

    Raises
    ------
    ConventionError
        If a variable is a label.
    DataError, FrameError, UnitError
        As in `fusion.resample`.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> um = {"z": Axis("um", 1.0), "y": Axis("um", 0.5, -0.25), "x": Axis("um", 1.0)}
    >>> values = np.arange(4.0)[None, :, None] * np.ones((2, 4, 3))
    >>> volume = dataset({"grey": (("z", "y", "x"), values)}, um, name="v", cell_methods="mean", frame="s")
    >>> grid = dataset({"n": (("y", "x"), np.ones((2, 3)))}, {"y": Axis("um", 1.0), "x": um["x"]}, name="m",
    ...                cell_methods="sum", frame="s")
    >>> measure(volume, grid, depth=1.0)["grey"].values[:, 0]
    array([0.5, 2.5])
    """
    volume, grid = check(volume), check(grid)
    transform = transform_between(grid, volume, transform)
    if response is not None:
        return _seen(volume, grid, transform, response, depth)
    cells = _cells(grid, volume, transform, depth)
    names = [n for n in volume.data_vars if spatial_dims(volume[n]) and n != COVERAGE and n not in _errors(volume)]
    if labels := [str(name) for name in names if kind(volume[name]) == "label"]:
        raise ConventionError([f"{name}: labels cannot be measured; use fusion.resample" for name in labels])
    seen = volume[COVERAGE].fillna(0.0) if COVERAGE in volume else None
    measured = {str(name): _measured(cells, volume[name], grid, seen) for name in names}
    return _on_map(measured, volume, grid, {"depth": depth})


def _seen(
    volume: xr.Dataset, grid: xr.Dataset, transform: Transform, response: Response, depth: float | None
) -> xr.Dataset:
    """Measure a volume through a response."""
    if depth is not None:
        raise DataError("a response says how deep a pixel reaches; leave out depth=")
    measured = probing.measured(volume, grid, probing.probe(grid, volume, transform, response))
    return _on_map(measured, volume, grid, {"response": response.described(), **as_parameters(transform)})


def _on_map(
    measured: Mapping[str, Any], volume: xr.Dataset, grid: xr.Dataset, parameters: dict[str, Any]
) -> xr.Dataset:
    """Return variables on the grid of a map, with the signal axes of the volume they come from."""
    variables = xr.Dataset(measured)
    coords = {name: volume[name].variable for name in volume.coords if name in set(variables.dims) - set(SPATIAL)}
    coords |= {name: grid[name].variable for name in SPATIAL if name in grid.coords}
    result = with_pose(variables.assign_coords(coords).assign_attrs(volume.attrs), *get_pose(grid))
    return check(provenance.record(result, "fusion.measure", parameters, parents=[grid]))


# Means by the shares that `resample` places counts by, so that the two are adjoint; counts by exact shares, with which
# consistent counts were made.
def _measured(cells: Geometry, variable: xr.DataArray, grid: xr.Dataset, seen: xr.DataArray | None) -> Any:
    spatial = spatial_dims(grid)
    extra = [dim for dim in variable.dims if dim not in SPATIAL]
    counted = kind(variable) == "sum"
    if counted:
        if seen is not None:
            # Counts of a voxel lie in the share of it that is covered: spread over that share, not over the voxel.
            variable = (variable / seen.where(seen > 0)).transpose(*variable.dims).assign_attrs(variable.attrs)
        exact = shares.exact(cells).turned()
        values, coverage = exact.placed(_channels(variable)), exact.coverage
    else:
        operator = shares.overlaps(cells).turned()
        values, coverage = operator.mean(_channels(variable)), operator.coverage
    values[coverage == 0] = np.nan
    shape = (*(grid.sizes[dim] for dim in spatial), *(variable.sizes[dim] for dim in extra))
    attrs = {key: value for key, value in variable.attrs.items() if key not in ("grid_mapping", LINKS)}
    attrs |= cell_methods(spatial, "sum" if counted else "mean")
    return xr.DataArray(values.reshape(shape), dims=(*spatial, *extra), attrs=attrs)


# Richardson and Lucy's multiplicative step: with R_ij the share of what voxel i covers that lies in pixel j, the counts
# measured of v are Rᵀv, and v_i <- v_i Σ_j R_ij m_j / (Rᵀv)_j. Values stay non-negative, their sum is that of the map
# from the first round on, and the fixed points have Rᵀv = m. (Conjugate gradients get there in fewer rounds, through
# negative counts.) Pixels partly beyond the volume are compared with what was placed of them.
# W. H. Richardson, J. Opt. Soc. Am. 62, 55 (1972); L. B. Lucy, Astron. J. 79, 745 (1974).
def _consistent(operator: shares.Shares, counts: Array, placed: Array) -> Array:
    seen, back = operator.coverage[..., None], operator.turned()
    wanted = counts * back.coverage[..., None]
    values = np.nan_to_num(placed)
    share = np.divide(1.0, seen, out=np.zeros_like(seen), where=seen > 0)
    for _ in counted(range(_ROUNDS), "place", "rounds"):
        measured = back.placed(values * share)
        if np.abs(measured - wanted).max() <= _CLOSE * wanted.max():
            break
        ratio = np.divide(wanted, measured, out=np.zeros_like(wanted), where=measured > 0)
        values = values * operator.lit(ratio) * share
    else:
        raise DataError(f"the counts are not consistent after {_ROUNDS} rounds; leave out consistent=True")
    return np.asarray(np.where(seen > 0, values, np.nan))


def _cells(ds: xr.Dataset, volume: xr.Dataset, transform: Transform, depth: float | None) -> Geometry:
    for one in (ds, volume):
        require_lengths(one, "placed")
    cells = geometry(ds, volume, transform, depth)
    if not cells.solid:
        raise DataError(
            f"{title(ds)} or {title(volume)} has cells without a volume; give a finite depth=, "
            "or use fusion.project and fusion.backproject along a beam"
        )
    cells.require_unfolded()
    return cells


def _require_fine(ds: xr.Dataset, volume: xr.Dataset, cells: Geometry) -> None:
    size = cells.steps
    if size > FINEST * (1 + 1e-9):
        raise DataError(
            f"consistent=True needs voxels of at most {FINEST} pixels of {title(ds)}; those of {title(volume)} are "
            f"{size:.3g} pixels wide: resample the volume to finer voxels, or leave it out (sums are kept anyway)"
        )


def _require_counts(ds: xr.Dataset) -> None:
    names = [n for n in ds.data_vars if spatial_dims(ds[n]) and n != COVERAGE and n not in _errors(ds)]
    faults = [f"{n}: cell_methods says {kind(ds[n])!r}, and only counts ('sum') are placed; use fusion.resample"
              for n in names if kind(ds[n]) != "sum"]  # fmt: skip
    if faults or not names:
        raise ConventionError(faults or [f"{title(ds)}: no variable has a spatial dim"])


def _errors(ds: xr.Dataset) -> set[str]:
    return {name for variable in ds.data_vars.values() if (name := error_of(variable))}


def _channels(variable: xr.DataArray) -> Array:
    """Return values as (z, y, x, k)."""
    spatial = spatial_dims(variable)
    extra = [dim for dim in variable.dims if dim not in SPATIAL]
    shape = tuple(variable.sizes[dim] if dim in spatial else 1 for dim in SPATIAL)
    values = variable.transpose(*spatial, *extra).values.astype(float)
    return np.asarray(values.reshape(*shape, -1))
