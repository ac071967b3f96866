"""Dead and hot channels of a detector: detected, masked, filled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

import fusion
from fusion.conventions import kind, signal_dim, spatial_dims
from fusion.errors import DataError
from fusion.variables import real_variable
from spectra.cleaning.step import Array, each_spectrum, finished, float_type, where_kept

Channels: TypeAlias = Sequence[float | Sequence[float]]
_STEEPER = 5.0
"""How much steeper than its flanks a single channel rises that is no peak of the sample."""
_ROUNDING = 1e-9


def faulty_channels(ds: xr.Dataset, *, threshold: float = 8.0) -> xr.DataArray:
    """Return which channels of the detector are dead or hot, judged by the sum over all pixels.

    A dead channel is zero in all pixels where the channels beside it have more than `threshold`² counts, or
    `threshold` times the noise of intensities. A hot one exceeds both its neighbours by `threshold` standard
    deviations, and rises five times as steeply as the flanks beside it, which no resolved line does.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).
    threshold : float
        In standard deviations: of Poisson for counts; of intensities, of the differences along the sum.

    Returns
    -------
    DataArray, (signal,)
        True where a channel is dead or hot; lazy if the map is.

    Raises
    ------
    DataError
        If the threshold is not positive, there are fewer than 5 channels, or none has any signal.

    Examples
    --------
    >>> from fusion import Axis
    >>> counts = np.full((4, 9), 100.0)
    >>> counts[:, 3], counts[:, 6] = 0.0, 900.0
    >>> ds = fusion.dataset({"counts": (("x", "energy"), counts)},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="sum")
    >>> faulty_channels(ds).values.nonzero()[0]
    array([3, 6])
    """
    if not threshold > 0:
        raise DataError(f"threshold is positive; received {threshold!r}")
    array = real_variable(fusion.check(ds))
    if array.sizes[signal_dim(array)] < 5:
        raise DataError(f"{array.name}: at least 5 channels are needed to tell a faulty one; name them by channels=")
    total = array.sum(spatial_dims(array), dtype=np.float64)
    faulty = each_spectrum(total, partial(_faulty, threshold=threshold, counts=kind(array) == "sum"))
    return faulty.astype(bool).drop_attrs(deep=False).rename("faulty")


def mask_channels(ds: xr.Dataset, channels: Channels | None = None, *, threshold: float = 8.0) -> xr.Dataset:
    """Set faulty channels to NaN in every spectrum.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).
    channels : sequence, optional
        Positions in the unit of the axis, or ranges (low, high) of it; left out, what `faulty_channels` finds.
    threshold : float
        Of that search.

    Returns
    -------
    Dataset
        The same dataset with the masked variable, floating; its standard error is masked too; lazy if it was.

    Raises
    ------
    DataError
        If a position lies beside the axis, or nothing in a range.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.ones((1, 4)))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="sum")
    >>> mask_channels(ds, [0.5])["counts"].values
    array([[ 1., nan,  1.,  1.]])
    """
    array = real_variable(fusion.check(ds))
    faulty = _chosen(ds, array, channels, threshold)
    masked = array.astype(float_type(array)).where(~faulty).assign_attrs(array.attrs)
    return finished(
        ds, masked, "spectra.mask_channels", _parameters(channels, threshold), error=where_kept(ds, array, masked)
    )


def fill_channels(ds: xr.Dataset, channels: Channels | None = None, *, threshold: float = 8.0) -> xr.Dataset:
    """Fill faulty channels of intensities from the nearest good ones, on a straight line along the axis.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable of intensities, dims (z, y, x, signal).
    channels : sequence, optional
        As in `mask_channels`.
    threshold : float
        As in `mask_channels`.

    Returns
    -------
    Dataset
        The same dataset with the filled variable, floating; its standard error is NaN where it was filled; lazy if it
        was.

    Raises
    ------
    DataError
        If the values are counts, which nobody counted in between; or as in `mask_channels`.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"intensity": (("x", "energy"), np.array([[1.0, 0.0, 3.0, 4.0]]))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="mean")
    >>> fill_channels(ds, [0.5])["intensity"].values
    array([[1., 2., 3., 4.]])
    """
    array = real_variable(fusion.check(ds))
    if kind(array) == "sum":
        raise DataError(f"{array.name} are counts, and what was not counted cannot be filled in; use mask_channels")
    dim = signal_dim(array)
    faulty = _chosen(ds, array, channels, threshold).astype(array.dtype)
    filled = each_spectrum(array, partial(_filled, positions=array[dim].values), faulty)
    error = where_kept(ds, array, filled)
    error = None if error is None else error.where(~faulty.astype(bool))
    return finished(ds, filled, "spectra.fill_channels", _parameters(channels, threshold), error=error)


def _chosen(ds: xr.Dataset, array: xr.DataArray, channels: Channels | None, threshold: float) -> xr.DataArray:
    if channels is None:
        return faulty_channels(ds, threshold=threshold)
    axis = array[signal_dim(array)]
    marked = np.zeros(axis.size, dtype=bool)
    for position in channels:
        marked |= _at(axis, position)
    return xr.DataArray(marked, dims=axis.dims, coords={str(axis.name): axis})


def _at(axis: xr.DataArray, position: float | Sequence[float]) -> Array:
    """Return which channels lie in a range, or which one is nearest to a position."""
    values = axis.values.astype(np.float64)
    if np.shape(position) not in ((), (2,)) or np.asarray(position).dtype.kind not in "iuf":
        raise DataError(f"channels are positions along {axis.name}, or ranges (low, high); received {position!r}")
    if np.ndim(position):
        low, high = np.asarray(position)
        inside = (values >= low) & (values <= high)
    else:
        nearest = int(np.abs(values - position).argmin())
        gaps = np.abs(values[max(nearest - 1, 0) : nearest + 2] - values[nearest])
        inside = (np.arange(values.size) == nearest) & (abs(values[nearest] - position) <= gaps.max() / 2.0 + 1e-12)
    if not inside.any():
        unit = axis.attrs.get("units", "")
        raise DataError(
            f"no channel along {axis.name} at {position!r}; it runs from {values[0]:g} to {values[-1]:g} {unit}"
        )
    return np.asarray(inside)


def _parameters(channels: Channels | None, threshold: float) -> dict[str, Any]:
    if channels is None:
        return {"threshold": threshold}
    return {"channels": [np.asarray(position).tolist() for position in channels]}


def _faulty(total: Array, *, threshold: float, counts: bool) -> Array:
    if not total.any():
        raise DataError("no channel of the map has any signal, so that none can be told to be dead or hot")
    dead = _dead(total, threshold, counts)
    channels = np.arange(total.size)
    bridged = np.interp(channels, channels[~dead], total[~dead])
    return np.asarray(dead | _hot(bridged, threshold, counts), dtype=np.float64)


def _hot(total: Array, threshold: float, counts: bool) -> Array:
    """Return which channels stand alone above both neighbours and the flanks beside these."""
    # The difference of two Poisson sums of the mean m has the variance 2 m. A resolved line rises over several
    # steps of like size; one channel that rises five times as steeply as both flanks is none.
    beside = np.pad(total, 2, mode="edge")
    left, right = beside[1:-3], beside[3:-1]
    higher = np.maximum(left, right)
    excess = total - higher
    noise = np.sqrt(np.maximum(2.0 * higher, 1.0)) if counts else _spread(np.diff(total))
    flank = np.maximum(np.abs(left - beside[:-4]), np.abs(right - beside[4:]))
    hot = (excess > threshold * noise) & (excess > _STEEPER * flank)
    hot[[0, -1]] = False
    return np.asarray(hot)


def _dead(total: Array, threshold: float, counts: bool) -> Array:
    """Return which channels are zero between live ones that leave no doubt."""
    # With m counts expected, none is seen with the probability exp(−m): threshold² = 64 leaves no doubt.
    live = np.flatnonzero(total)
    if live.size < 2:
        return np.zeros(total.shape, dtype=bool)
    channels = np.arange(total.size)
    after = np.clip(np.searchsorted(live, channels), 1, live.size - 1)
    lower = np.minimum(total[live[after - 1]], total[live[after]])
    limit = threshold**2 if counts else threshold * _spread(np.diff(total))
    return np.asarray((total == 0) & (channels > live[0]) & (channels < live[-1]) & (lower > limit))


def _spread(differences: Array) -> float:
    # Median absolute deviation, scaled to the standard deviation of a normal distribution; peaks hardly move it.
    spread = float(1.4826 * np.median(np.abs(differences - np.median(differences))))
    # where most differences are exactly equal any excess counts, down to rounding
    return max(spread, _ROUNDING * float(np.abs(differences).max(initial=0.0)))


def _filled(spectra: Array, faulty: Array, *, positions: Array) -> Array:
    good = np.flatnonzero(faulty.reshape(-1, faulty.shape[-1])[0] == 0)
    values = spectra.astype(float_type(spectra))
    bad = np.setdiff1d(np.arange(positions.size), good)
    if not good.size or not bad.size:
        return values
    after = np.clip(np.searchsorted(good, bad), 1, good.size - 1) if good.size > 1 else np.zeros(bad.size, dtype=int)
    left, right = good[np.maximum(after - 1, 0)], good[after]
    span = np.where(right == left, 1.0, positions[right] - positions[left])
    # A straight line between the nearest good channels on either side; beyond the last good one its value goes on.
    share = np.clip((positions[bad] - positions[left]) / span, 0.0, 1.0)
    values[..., bad] = values[..., left] * (1.0 - share) + values[..., right] * share
    return values
