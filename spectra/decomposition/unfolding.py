"""A spectral map as the matrix that is decomposed, and what is found as a labelled dataset again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

import fusion
from fusion.conventions import SPATIAL, signal_dim, spatial_dims
from fusion.errors import DataError
from fusion.frames import get_pose
from fusion.model import Axis, require_data
from spectra.factorisation.problem import Mask, Problem
from spectra.factorisation.sparse import Array, Matrix, divided, entries, live, matrix_of_at_most
from spectra.factorisation.stream import MOST_VALUES, Streamed, rows_of, survey


def problem(array: xr.DataArray, weighting: str | None, *, stream: bool = False) -> Problem:
    """Return the matrix of a map with its weights.

    Parameters
    ----------
    array : DataArray
        Dims (z, y, x, signal), in memory or lazy.
    weighting : {"poisson", None}
        Whether rows and columns are divided by the roots of their sums.
    stream : bool
        Whether a lazy map that is dense and has more than `MOST_VALUES` may be read block by block whenever it is
        multiplied, instead of being gathered.

    Raises
    ------
    DataError
        If values are not finite, or negative under ``"poisson"``; if there are less than two live pixels or channels.
    """
    require_data(array, smallest=1)
    if weighting not in ("poisson", None):
        raise DataError(f"unknown weighting {weighting!r}; accepted are 'poisson' and None")
    signal = signal_dim(array)
    matrix = matrix_of_at_most(MOST_VALUES if stream else np.inf, array, signal)
    found = _streamed(array, signal, weighting) if matrix is None else _gathered(array, matrix, weighting)
    if min(found.matrix.shape) < 2:
        pixels, channels = found.matrix.shape
        raise DataError(f"{array.name}: {pixels} pixels and {channels} channels with signal; at least 2 are needed")
    return found


def require_components(components: Any, matrix: Matrix, least: int = 1) -> None:
    """Refuse a number of components that the matrix cannot have."""
    if isinstance(components, bool) or not isinstance(components, (int, np.integer)) or components < least:
        raise DataError(f"components is a whole number of at least {least}; received {components!r}")
    if components > min(matrix.shape):
        raise DataError(
            f"{components} components asked of {matrix.shape[0]} pixels and {matrix.shape[1]} channels with signal; "
            f"at most {min(matrix.shape)} are possible"
        )


def restored(values: Array, live: Mask, *, axis: int) -> Array:
    """Put zeros back where pixels or channels had no signal."""
    shape = list(values.shape)
    shape[axis] = live.size
    full = np.zeros(shape)
    full[live if axis == 0 else (slice(None), live)] = values
    return full


def labelled(
    found: Mapping[str, tuple[tuple[str, ...], Any, dict[str, Any]]],
    ds: xr.Dataset,
    array: xr.DataArray,
    components: int,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Return variables as a dataset on the axes of a map, with its pose and its attributes.

    Parameters
    ----------
    found : mapping
        Name to dims, values and attributes. The dim ``"pixel"`` becomes the spatial dims of `array`.
    ds, array : Dataset, DataArray
        The map.
    components : int
    attrs : mapping
        Further attributes.
    """
    spatial = spatial_dims(array)
    variables = {name: _unfolded(value, array, spatial) for name, value in found.items()}
    used = {dim for dims, *_ in variables.values() for dim in dims}
    axes: dict[str, Any] = {
        dim: Axis(ds[dim].attrs["units"], values=ds[dim].values) for dim in (*spatial, signal_dim(array)) if dim in used
    }
    if "axis" in used:
        axes["axis"] = np.array(spatial)
    pose, frame = get_pose(ds)
    result = fusion.dataset(
        variables,
        {**axes, "component": np.arange(components)},
        name=str(ds.attrs.get("title", "map")),
        cell_methods="mean",
        pose=pose,
        frame=frame,
        attrs={**ds.attrs, **attrs},
    )
    kept = {dim: ds[dim] for dim in (*SPATIAL, signal_dim(array)) if dim in ds.coords}
    return fusion.check(result.assign_coords(kept))


def _unfolded(value: tuple[tuple[str, ...], Any, dict[str, Any]], array: xr.DataArray, spatial: tuple[str, ...]) -> Any:
    dims, values, attrs = value
    if "pixel" not in dims:
        return value
    shape = [array.sizes[dim] for dim in spatial]
    return (*spatial, *dims[1:]), np.asarray(values).reshape(*shape, *np.shape(values)[1:]), attrs


def _gathered(array: xr.DataArray, matrix: Matrix, weighting: str | None) -> Problem:
    if not np.isfinite(entries(matrix)).all():
        raise _broken(array, int((~np.isfinite(matrix.sum(axis=1))).sum()), matrix.shape[0])
    pixels, channels = live(matrix)
    lowest = float(matrix.min()) if min(matrix.shape) else 0.0
    _require_counts(array, lowest, weighting)
    matrix = matrix if pixels.all() else matrix[pixels]
    matrix = matrix if channels.all() else matrix[:, channels]
    by_pixel, by_channel = _roots(matrix.sum(axis=1), matrix.sum(axis=0), weighting)
    return Problem(divided(matrix, by_pixel, by_channel), by_pixel, by_channel, pixels, channels, lowest)


def _streamed(array: xr.DataArray, signal: str, weighting: str | None) -> Problem:
    rows = rows_of(array, signal)
    seen = survey(rows, weighted=weighting is not None)
    if seen.broken:
        raise _broken(array, seen.broken, rows.shape[0])
    _require_counts(array, seen.lowest, weighting)
    channels = np.diag(seen.gram) > 0
    by_pixel, by_channel = _roots(seen.pixel_sums[seen.pixel_any], seen.channel_sums[channels], weighting)
    gram = seen.gram[np.ix_(channels, channels)] / by_channel / by_channel[:, None]
    matrix = Streamed(rows, by_pixel, by_channel, seen.pixel_any, channels, gram)
    return Problem(matrix, by_pixel, by_channel, seen.pixel_any, channels, seen.lowest)


def _roots(pixel_sums: Array, channel_sums: Array, weighting: str | None) -> tuple[Array, Array]:
    """Return what the rows and the columns are divided by before the factors are sought."""
    if weighting is None:
        return np.ones(pixel_sums.size), np.ones(channel_sums.size)
    return np.sqrt(pixel_sums), np.sqrt(channel_sums)


def _require_counts(array: xr.DataArray, lowest: float, weighting: str | None) -> None:
    if weighting == "poisson" and lowest < 0:
        raise negative(array, lowest)


def negative(array: xr.DataArray, lowest: float) -> DataError:
    """Return the error for values that are negative where none may be."""
    return DataError(
        f"{array.name}: negative values (down to {lowest:.4g}), which counts never have; "
        "use method='pca' with weighting=None, or clip them at zero first"
    )


def _broken(array: xr.DataArray, broken: int, pixels: int) -> DataError:
    # what is NaN in all pixels is a masked channel, and one without counts is left out
    how = "set masked channels to zero, ds.fillna(0)" if broken == pixels else "crop the map or fill them first"
    return DataError(f"{array.name}: {broken} of {pixels} pixels have NaN or infinite values; {how}")
