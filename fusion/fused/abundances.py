"""Fused results: spectra at every voxel of a volume, kept as abundances and endmembers and never as a dense cube."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.affine import kind_attrs
from fusion.conventions import (
    LINKS,
    SPATIAL,
    check,
    error_of,
    signal_dim,
    spatial_dims,
    stderr_name,
    title,
)
from fusion.errors import ConventionError, DataError
from fusion.frames import transform_between
from fusion.fused.position import position
from fusion.grids.geometry import geometry
from fusion.model import with_error
from fusion.resampling.blocks import run
from fusion.resampling.resample import COVERAGE, Method, resample
from fusion.warp import Transform, as_parameters

ABUNDANCE: Final = "abundance"
ENDMEMBER: Final = "endmember"
STDERR: Final = stderr_name(ABUNDANCE)


def fuse(
    decomposed: xr.Dataset,
    volume: xr.Dataset,
    *,
    transform: Transform | None = None,
    method: Method = "auto",
    depth: float | None = None,
) -> xr.Dataset:
    """Place a decomposed map in a volume, error bars included.

    Parameters
    ----------
    decomposed : Dataset
        With ``abundance(..., component)`` and ``endmember(component, signal)``.
    volume : Dataset
        The grid of the result; its variables are kept beside the abundances.
    transform : Affine or Warp, optional
        Maps coordinates of `decomposed` to those of `volume`; left out, it is what the two poses say.
    method, depth
        As in `fusion.resample`.

    Returns
    -------
    Dataset
        On the grid of `volume`: its variables, ``abundance``, ``abundance_stderr``, ``coverage`` and the endmembers.
        The variance of ``abundance_stderr`` is that of the map's own noise plus, where `transform` carries a
        covariance, what the uncertain position does to a value: its mean square change over the positions that the
        covariance allows, and beside an edge as much as a shift by 1.96 standard deviations changes it
        (`fusion.fused.position`), widened where it was estimated with few degrees of freedom, so that
        1.96 standard errors hold the truth in 95 %; NaN beyond the hull of the landmarks of a warp. Where the error of
        the position is a lower bound, so is this one, and its attribute ``covariance_kind`` says so. The interval is
        for the map as it was measured, at the true position of the voxel; detail finer than a pixel of the map is in
        neither.

    Raises
    ------
    ConventionError
        If `decomposed` is no decomposition or a name of the volume is taken.
    FrameError, UnitError, DataError
        As in `fusion.resample`.

    Examples
    --------
    >>> from fusion import phantom
    >>> tree = phantom(shape=(4, 60, 60), map_shape=(8, 9), channels=64, shift=(0.1, 0.1))
    >>> fused = fuse(tree["map_truth"].to_dataset(), tree["volume"].to_dataset(), depth=0.06)
    >>> dict(fused["abundance"].sizes)
    {'z': 4, 'y': 60, 'x': 60, 'component': 4}
    """
    decomposed, volume = _fused(decomposed), check(volume)
    transform = transform_between(decomposed, volume, transform)
    placed = resample(decomposed, volume, transform=transform, method=method, depth=depth)
    if transform.is_uncertain:
        placed = _with_position(placed, decomposed, volume, transform, depth)
    taken = (set(placed.data_vars) - {COVERAGE}) & set(volume.data_vars)
    if taken:
        raise ConventionError([f"{title(volume)}: {sorted(map(str, taken))} already exist; rename or drop them first"])
    fused = placed.assign({name: variable for name, variable in volume.data_vars.items() if name != COVERAGE})
    fused = fused.assign_attrs(title="fused")
    parameters = {"method": method, "depth": depth, **as_parameters(transform)}
    return check(provenance.record(fused, "fusion.fuse", parameters, parents=[volume], source=decomposed))


def spectrum(fused: xr.Dataset, *, y: npt.ArrayLike, x: npt.ArrayLike, z: npt.ArrayLike | None = None) -> xr.DataArray:
    """Return the spectrum at a voxel, or at several, with its standard error.

    Parameters
    ----------
    fused : Dataset
        With ``abundance`` and ``endmember``.
    z, y, x : float or sequence of float
        Position in um; the nearest voxel is taken. `z` only where the dataset has one.

    Returns
    -------
    DataArray, dims (signal,) or (point, signal)
        abundance · endmember, computed, with the coordinate ``spectrum_stderr``: the standard error that the errors of
        the abundances leave, taken as independent of each other and the endmembers as exact.

    Raises
    ------
    DataError
        If a position lies outside the dataset or where no map covers it.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> fused = dataset({"abundance": (("y", "x", "component"), np.array([[[1.0, 2.0]]])),
    ...                  "endmember": (("component", "energy"), np.array([[1.0, 0.0], [0.5, 0.5]]))},
    ...                 {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "component": [0, 1], "energy": Axis("keV", 1.0)},
    ...                 name="fused", cell_methods="mean")
    >>> spectrum(fused, y=0.0, x=0.0).values
    array([2., 1.])
    """
    fused = _fused(fused)
    position = {dim: value for dim, value in zip(SPATIAL, (z, y, x), strict=True) if value is not None}
    # what is lazy is read at once, and these few numbers are no work for arrays with labels, which take longer
    names = [name for name in (ABUNDANCE, STDERR, ENDMEMBER) if name in fused]
    here = fused[names].isel(_voxel(fused, position)).compute()
    dims = [dim for dim in here[ABUNDANCE].dims if dim != "component"]
    abundance, endmember = (here[name].transpose(..., "component") for name in (ABUNDANCE, ENDMEMBER))
    if not np.isfinite(abundance.values).all():
        raise DataError(f"no spectrum at {position} um: no map covers this voxel, or it has no value there")
    # s = Σ_k a_k e_k at this voxel alone: n_components · n_channels products, the dense cube is never made.
    values = np.einsum("...k,ck->...c", abundance.values, endmember.values)
    dims.append(str(endmember.dims[0]))
    attrs = {"long_name": "spectrum", "units": fused[ABUNDANCE].attrs.get("units", "1")}
    coords = {key: coord for key, coord in here.coords.items() if set(coord.dims) <= set(dims)}
    if STDERR in here:
        # Var s = Σ_k e_k² Var a_k; an error that is infinite says nothing where its component has no signal, and
        # inf · 0 is NaN
        errors = here[STDERR].transpose(..., "component").values[..., None, :]
        with np.errstate(invalid="ignore"):
            terms = np.where(endmember.values != 0, errors**2 * endmember.values**2, 0.0)
        meaning = {**attrs, "long_name": "standard error of the spectrum"}
        attrs[LINKS] = name = stderr_name("spectrum")
        coords[name] = xr.Variable(dims, np.sqrt(terms.sum(axis=-1)), meaning)
    return xr.DataArray(values, coords, dims, "spectrum", attrs)


def window(fused: xr.Dataset, **limits: tuple[float, float]) -> xr.DataArray:
    """Return the intensity within a window of the signal axis, as a map or volume.

    Parameters
    ----------
    fused : Dataset
        With ``abundance`` and ``endmember``.
    **limits : (float, float)
        The signal axis and its two limits, both included: ``energy=(6.2, 6.6)``.

    Returns
    -------
    DataArray
        On the spatial dims of `fused`; lazy if the abundances are. The spectra themselves are never built.

    Raises
    ------
    DataError
        If the window holds no channel, or names no signal axis.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> fused = dataset({"abundance": (("y", "x", "component"), np.array([[[1.0, 2.0]]])),
    ...                  "endmember": (("component", "energy"), np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]))},
    ...                 {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "component": [0, 1], "energy": Axis("keV", 1.0)},
    ...                 name="fused", cell_methods="mean")
    >>> window(fused, energy=(0.0, 1.0)).values
    array([[2.]])
    """
    fused = _fused(fused)
    axis = signal_dim(fused[ENDMEMBER].isel(component=0, drop=True))
    if set(limits) != {axis}:
        raise DataError(f"a window is given on the signal axis, {axis}=(low, high); received {limits}")
    low, high = limits[axis]
    inside = fused[ENDMEMBER].sel({axis: slice(low, high)})
    if not inside.sizes[axis]:
        ends = fused[axis].values[[0, -1]].tolist()
        raise DataError(f"no channel between {low} and {high}; {axis} runs from {ends[0]} to {ends[1]}")
    # Σ_channels Σ_k a_k e_k = Σ_k a_k (Σ_channels e_k): summing the endmembers first costs a few numbers per voxel.
    summed: xr.DataArray = xr.dot(fused[ABUNDANCE], inside.sum(axis), dim="component").rename("window")
    summed.attrs = {"units": fused[ABUNDANCE].attrs.get("units", "1"), "long_name": f"{axis} {low} to {high}"}
    return summed


def _fused(ds: xr.Dataset) -> xr.Dataset:
    """Refuse what is no decomposition."""
    if not {ABUNDANCE, ENDMEMBER} <= set(check(ds).data_vars):
        missing = f"{title(ds)}: abundance and endmember are needed, as spectra.decompose gives"
        raise ConventionError([f"{missing}; an image or a map comes onto another grid by fusion.resample(ds, grid)"])
    return ds


def _with_position(
    placed: xr.Dataset, decomposed: xr.Dataset, volume: xr.Dataset, transform: Transform, depth: float | None
) -> xr.Dataset:
    """Add the variance that the uncertain position gives to the abundances to that of their noise."""
    abundance, noise = placed[ABUNDANCE], error_of(decomposed[ABUNDANCE])
    cells = geometry(decomposed, volume, transform, depth)
    source = _channels(decomposed, ABUNDANCE)
    if noise:
        source = np.concatenate([source, _channels(decomposed, noise) ** 2], axis=-1)
    reader = position(cells, transform, noisy=bool(noise))
    # Noise and position are independent, so their variances add. Both enter as channels of one source: values, then
    # their variances, which the second moment over positions needs to be free of the noise.
    variance, _ = run(source, volume, reader)
    variance = abundance.copy(data=variance[..., : source.shape[3] // (2 if noise else 1)].reshape(abundance.shape))
    if noise:
        variance = variance + placed[noise] ** 2
    error: xr.DataArray = xr.apply_ufunc(np.sqrt, variance, dask="allowed").transpose(*abundance.dims)
    error = error.astype(abundance.dtype).drop_vars("pose")
    meaning = "standard error of abundance: noise of the map and uncertainty of its pose"
    placed = with_error(placed, ABUNDANCE, error.where(placed[COVERAGE] > 0), long_name=meaning)
    placed[stderr_name(ABUNDANCE)].attrs.update(kind_attrs(transform.lower_bound))
    return placed


def _channels(ds: xr.Dataset, name: str) -> npt.NDArray[np.float64]:
    """Return the values of a map (z, y, x, component); they are small and read at once."""
    spatial = spatial_dims(ds[name])
    shape = [ds.sizes[dim] if dim in spatial else 1 for dim in SPATIAL]
    values = ds[name].transpose(*spatial, "component").values.astype(float)
    return np.asarray(values.reshape(*shape, -1))


def _voxel(fused: xr.Dataset, position: Mapping[str, npt.ArrayLike]) -> dict[str, xr.DataArray | int]:
    dims = spatial_dims(fused[ABUNDANCE])
    wanted = {dim: np.asarray(value, dtype=float) for dim, value in position.items()}
    if set(wanted) != set(dims):
        raise DataError(f"give the position in um along {', '.join(dims)}; received {', '.join(wanted)}")
    if len({value.shape for value in wanted.values() if value.ndim}) > 1:
        raise DataError(f"several positions are as many numbers along each of {', '.join(dims)}")
    index: dict[str, xr.DataArray | int] = {}
    for dim, value in wanted.items():
        centres = fused[dim].values
        nearest = np.abs(centres - value[..., None]).argmin(axis=-1)
        # Half a step to either side belongs to the outermost voxels.
        reach = float(np.diff(centres).max(initial=0.0)) / 2.0 * (1 + 1e-9)
        if not (np.abs(centres[nearest] - value) <= reach).all():
            raise DataError(
                f"{dim}={value.tolist()} lies outside the dataset, {centres[0]:.6g} to {centres[-1]:.6g} um"
            )
        index[dim] = xr.DataArray(nearest, dims="point") if value.ndim else int(nearest)
    return index
