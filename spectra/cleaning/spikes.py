"""Spikes of cosmic rays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import fusion
from fusion.conventions import signal_dim
from fusion.errors import DataError
from fusion.variables import real_variable
from spectra.cleaning.step import Array, each_spectrum, finished, float_type, where_kept

_FEW: Final = 3
_SHARE: Final = 0.05
"""Spectra, and share of all, in which the same channel stands out of a band and not of chance."""


def despike(ds: xr.Dataset, *, threshold: float = 8.0, width: int = 3) -> xr.Dataset:
    """Replace spikes of cosmic rays by what the channels beside them say.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal); the signal axis is read as a whole.
    threshold : float
        How many standard deviations a step between neighbouring channels must be off to count as the edge of a spike.
    width : int
        Of the widest spike, in channels, and of what lies to each side, between whose means a line replaces it.

    Returns
    -------
    Dataset
        The same dataset with the mended variable, in its own dtype if that is floating, else float64; lazy if it was.
        A standard error is NaN where a channel was mended. Channels that are not finite are left out.

    Raises
    ------
    DataError
        If the threshold or the width is not positive, or values are complex.

    Notes
    -----
    A spike is a run of steps that are off, no longer than `width` allows, which stands above what lies to both sides
    of it: the steep flanks of a band do not. Cosmic rays strike where they will: what stands in the same channel of
    more than a twentieth of the spectra, and of three at least, is a band and stays. In a single spectrum a band
    whose full width is below 3 channels looks like a spike.

    References
    ----------
    D. A. Whitaker and K. Hayes, Chemom. Intell. Lab. Syst. 179, 82 (2018): modified z-scores of the differences.

    Examples
    --------
    >>> from fusion import Axis
    >>> spectrum = np.random.default_rng(0).normal(100.0, 1.0, 200)
    >>> spectrum[70] = 900.0
    >>> ds = fusion.dataset({"intensity": (("x", "energy"), spectrum[None])},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}, name="map", cell_methods="mean")
    >>> bool(despike(ds)["intensity"].max() < 110.0)
    True
    """
    if not (threshold > 0 and width >= 1 and width == int(width)):
        raise DataError(f"threshold and width are positive, width is whole; received {threshold!r} and {width!r}")
    array = real_variable(fusion.check(ds))
    marks = each_spectrum(array, partial(_spikes, threshold=threshold, width=int(width)))
    pixels = [dim for dim in array.dims if dim != signal_dim(array)]
    struck = marks.sum(pixels)
    bands = (struck >= _FEW) & (struck > _SHARE * math.prod(array.sizes[dim] for dim in pixels))
    mended = each_spectrum(array, partial(_mended, width=int(width)), marks, bands)
    parameters = {"threshold": threshold, "width": width}
    return finished(ds, mended, "spectra.despike", parameters, error=where_kept(ds, array, mended))


def _spikes(spectra: Array, *, threshold: float, width: int) -> Array:
    """Return 1 where a spike is in a spectrum, else 0."""
    values = spectra.astype(float_type(spectra)).reshape(-1, spectra.shape[-1])
    marks, finite = np.zeros_like(values), np.isfinite(values)
    whole = np.flatnonzero(finite.all(axis=-1))
    for row in np.setdiff1d(np.flatnonzero(finite.any(axis=-1)), whole):
        marks[row, finite[row]] = _spikes(values[row, finite[row]], threshold=threshold, width=width)
    if values.shape[-1] > 2:
        steps, limits = _steps(values[whole], threshold)
        for place in np.flatnonzero((steps > limits[:, None]).any(axis=-1)):
            marks[whole[place]] = _runs(values[whole[place]], steps[place] > limits[place], limits[place], width)
    return marks.reshape(spectra.shape)


def _steps(values: Array, threshold: float) -> tuple[Array, Array]:
    """Return how far the steps between channels are off their median, and how far they may be in each spectrum."""
    steps = np.diff(values, axis=-1)
    steps = np.abs(steps - np.median(steps, axis=-1, keepdims=True))
    spread = np.median(steps, axis=-1)
    return steps, np.where(spread > 0, spread, np.inf) * threshold / 0.6745


def _runs(spectrum: Array, edges: Array, limit: float, width: int) -> Array:
    """Return 1 in the runs of edges of one spectrum that are spikes."""
    marks = np.zeros_like(spectrum)
    for first, last in _ends(np.append(edges, False) | np.append(False, edges)):
        beside = np.concatenate([spectrum[max(first - 1, 0) : first], spectrum[last : last + 1]])
        if last - first > width + 2 or not beside.size:
            continue
        run = spectrum[first:last]
        # the flank of a peak has many edges too, but stands between what lies beside it
        if max(run.max() - beside.max(), beside.min() - run.min()) > limit:
            marks[first:last] = 1
    return marks


def _ends(marked: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the first channel of each run, and the one after its last."""
    ends = np.flatnonzero(np.diff(marked, prepend=False, append=False))
    return zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True)


def _mended(spectra: Array, marks: Array, bands: Array, *, width: int) -> Array:
    """Return the spectra with a line in place of each spike that is no band."""
    values = spectra.astype(float_type(spectra)).reshape(-1, spectra.shape[-1])
    marked = marks.reshape(values.shape) > 0
    for row in np.flatnonzero(marked.any(axis=-1)):
        good = np.isfinite(values[row])
        values[row, good] = _lined(values[row, good], marked[row, good], bands[good], width)
    return values.reshape(spectra.shape)


def _lined(spectrum: Array, marked: NDArray[np.bool_], bands: NDArray[np.bool_], width: int) -> Array:
    """Return one spectrum with each marked run replaced by the line between what lies to both sides of it."""
    found = spectrum.copy()
    for first, last in _ends(marked):
        if bands[first:last].any():
            continue
        left, right = spectrum[max(first - width, 0) : first], spectrum[last : last + width]
        sides = [side.mean() for side in (left, right) if side.size]
        centres = [first - (left.size + 1) / 2] * bool(left.size) + [last + (right.size - 1) / 2] * bool(right.size)
        found[first:last] = np.interp(np.arange(first, last), centres, sides)
    return found
