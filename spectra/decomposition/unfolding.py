"""A spectral map as the matrix that is decomposed, and its factors as a labelled dataset again."""

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
from spectra.factorisation.weighting import Weights, weights_of


def problem(array: xr.DataArray, weighting: str | None, *, stream: bool = False) -> Problem:
    """Return the matrix of a map with its weights.

    Parameters
    ----------
    array : DataArray
        Dims (z, y, x, signal), in memory or lazy.
    weighting : {"poisson", None}
        As in `spectra.factorisation.weighting`.
    stream : bool
        Whether a lazy map that is dense and has more than `MOST_VALUES` may be read block by block whenever it is
        multiplied, instead of being gathered.

    Raises
    ------
    DataError
        If values are not finite, or negative under ``"poisson"``; if there are less than two live pixels or channels.
    """
    require_data(array, smallest=1)
    weights, signal = weights_of(weighting), signal_dim(array)
    matrix = matrix_of_at_most(MOST_VALUES if stream else np.inf, array, signal)
    result = _streamed(array, signal, weights) if matrix is None else _gathered(array, matrix, weights)
    if min(result.matrix.shape) < 2:
        pixels, channels = result.matrix.shape
        raise DataError(f"{array.name}: {pixels} pixels and {channels} channels with signal; at least 2 are needed")
    return result


def on_axis(endmember: xr.DataArray, array: xr.DataArray) -> Array:
    """Return endmembers as (component, channel), or refuse what is not on the signal axis of a map.

    Raises
    ------
    DataError
        If dims or coordinates differ, or a value is not finite, or a spectrum is negative or empty.
    """
    signal = signal_dim(array)
    if not isinstance(endmember, xr.DataArray) or set(endmember.dims) != {"component", signal}:
        dims = endmember.dims if isinstance(endmember, xr.DataArray) else f"a {type(endmember).__name__}"
        raise DataError(f"spectra are a DataArray with dims ('component', '{signal}'); received {dims}")
    if signal not in endmember.coords or not np.array_equal(endmember[signal].values, array[signal].values):
        raise DataError(f"spectra are not on the {signal} axis of the map; interpolate them onto it first")
    values = endmember.transpose("component", signal).values.astype(np.float64)
    if not np.isfinite(values).all() or (values < 0).any() or not values.any(axis=1).all():
        raise DataError("spectra are finite, not negative, and none of them is zero everywhere")
    return np.asarray(values)


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
    variables: Mapping[str, tuple[tuple[str, ...], Any, dict[str, Any]]],
    ds: xr.Dataset,
    array: xr.DataArray,
    components: int,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Return variables as a dataset on the axes of a map, with its pose and its attributes.

    Parameters
    ----------
    variables : mapping
        Name to dims, values and attributes. The dim ``"pixel"`` becomes the spatial dims of `array`.
    ds, array : Dataset, DataArray
        The map.
    components : int
    attrs : mapping
        Further attributes.
    """
    spatial = spatial_dims(array)
    placed = {name: _on_grid(variable, array, spatial) for name, variable in variables.items()}
    used = {dim for dims, *_ in placed.values() for dim in dims}
    axes: dict[str, Any] = {
        dim: Axis(ds[dim].attrs["units"], values=ds[dim].values) for dim in (*spatial, signal_dim(array)) if dim in used
    }
    if "axis" in used:
        axes["axis"] = np.array(spatial)
    pose, frame = get_pose(ds)
    result = fusion.dataset(
        placed,
        {**axes, "component": np.arange(components)},
        name=str(ds.attrs.get("title", "map")),
        cell_methods="mean",
        pose=pose,
        frame=frame,
        attrs={**ds.attrs, **attrs},
    )
    kept = {dim: ds[dim] for dim in (*SPATIAL, signal_dim(array)) if dim in ds.coords}
    return fusion.check(result.assign_coords(kept))


def _on_grid(
    variable: tuple[tuple[str, ...], Any, dict[str, Any]], array: xr.DataArray, spatial: tuple[str, ...]
) -> Any:
    dims, values, attrs = variable
    if "pixel" not in dims:
        return variable
    shape = [array.sizes[dim] for dim in spatial]
    return (*spatial, *dims[1:]), np.asarray(values).reshape(*shape, *np.shape(values)[1:]), attrs


def _gathered(array: xr.DataArray, matrix: Matrix, weights: Weights) -> Problem:
    if not np.isfinite(entries(matrix)).all():
        raise _not_finite(array, int((~np.isfinite(matrix.sum(axis=1))).sum()), matrix.shape[0])
    pixels, channels = live(matrix)
    lowest = float(matrix.min()) if min(matrix.shape) else 0.0
    _require_counts(array, lowest, weights)
    matrix = matrix if pixels.all() else matrix[pixels]
    matrix = matrix if channels.all() else matrix[:, channels]
    by_pixel, by_channel = weights.by_pixel(matrix.sum(axis=1)), weights.by_channel(matrix.sum(axis=0))
    return Problem(divided(matrix, by_pixel, by_channel), by_pixel, by_channel, pixels, channels, lowest, weights)


def _streamed(array: xr.DataArray, signal: str, weights: Weights) -> Problem:
    rows = rows_of(array, signal)
    sums = survey(rows, weights)
    if sums.broken:
        raise _not_finite(array, sums.broken, rows.shape[0])
    _require_counts(array, sums.lowest, weights)
    pixels, channels = sums.pixel_any, np.diag(sums.gram) > 0
    by_pixel, by_channel = weights.by_pixel(sums.pixel_sums[pixels]), weights.by_channel(sums.channel_sums[channels])
    gram = sums.gram[np.ix_(channels, channels)] / by_channel / by_channel[:, None]
    matrix = Streamed(rows, by_pixel, by_channel, pixels, channels, gram)
    return Problem(matrix, by_pixel, by_channel, pixels, channels, sums.lowest, weights)


def _require_counts(array: xr.DataArray, lowest: float, weights: Weights) -> None:
    if weights.counts and lowest < 0:
        raise negative(array, lowest)


def negative(array: xr.DataArray, lowest: float) -> DataError:
    """Return the error for values that are negative where none may be."""
    return DataError(
        f"{array.name}: negative values (down to {lowest:.4g}), which counts never have; "
        "use method='pca' with weighting=None, or clip them at zero first"
    )


def _not_finite(array: xr.DataArray, broken: int, pixels: int) -> DataError:
    # what is NaN in all pixels is a masked channel, and one without counts is left out
    how = "set masked channels to zero, ds.fillna(0)" if broken == pixels else "crop the map or fill them first"
    return DataError(f"{array.name}: {broken} of {pixels} pixels have NaN or infinite values; {how}")
