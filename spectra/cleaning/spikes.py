"""Spikes of cosmic rays: detected by the steps between channels, and mended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import fusion
from fusion.conventions import kind, signal_dim
from fusion.errors import DataError
from fusion.progress import counted
from fusion.variables import real_variable
from spectra.cleaning.step import Array, each_spectrum, finished, float_type, where_kept

_FEW: Final = 3
_SHARE: Final = 0.05
"""Spectra, and share of all, in which the same channel stands out of a band and not of chance."""


def despike(ds: xr.Dataset, *, threshold: float = 8.0, width: int = 3) -> xr.Dataset:
    """Replace spikes of cosmic rays by a line between the channels beside them.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal); at least 3 channels.
    threshold : float
        How many standard deviations a step between neighbouring channels must be off to count as the edge of a spike:
        of the other steps, or, where more than half of these are exactly equal, of Poisson for counts and of the mean
        absolute step for intensities.
    width : int
        Of the widest spike, in channels, and of the stretches to both sides between whose means a line replaces it.

    Returns
    -------
    Dataset
        The same dataset with the mended variable, in its own dtype if that is floating, else float64; lazy if it was.
        A standard error is NaN where a channel was mended. Channels that are not finite are left out.

    Raises
    ------
    DataError
        If the threshold or the width is not positive, values are complex, or there are fewer than 3 channels.

    Notes
    -----
    A spike is a run of steps that are off, no longer than `width` allows, which stands above the channels on both
    sides of it: the steep flanks of a band do not. Cosmic rays strike at random: what stands in the same channel of
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
    if array.sizes[signal_dim(array)] < 3:
        raise DataError(f"{array.name}: a spike stands between its neighbours; at least 3 channels are needed")
    detect = partial(_spikes, threshold=threshold, width=int(width), counts=kind(array) == "sum")
    marks = each_spectrum(array, detect)
    pixels = [dim for dim in array.dims if dim != signal_dim(array)]
    struck = marks.sum(pixels)
    bands = (struck >= _FEW) & (struck > _SHARE * math.prod(array.sizes[dim] for dim in pixels))
    mended = each_spectrum(array, partial(_mended, width=int(width)), marks, bands)
    parameters = {"threshold": threshold, "width": width}
    return finished(ds, mended, "spectra.despike", parameters, error=where_kept(ds, array, mended))


def _spikes(spectra: Array, *, threshold: float, width: int, counts: bool) -> Array:
    """Return 1 where a spike is in a spectrum, else 0."""
    values = spectra.astype(float_type(spectra)).reshape(-1, spectra.shape[-1])
    marks, finite = np.zeros_like(values), np.isfinite(values)
    complete = np.flatnonzero(finite.all(axis=-1))
    for row in np.setdiff1d(np.flatnonzero(finite.any(axis=-1)), complete):
        marks[row, finite[row]] = _spikes(values[row, finite[row]], threshold=threshold, width=width, counts=counts)
    if values.shape[-1] > 2:
        steps, noise = _steps(values[complete], counts)
        limits = threshold * noise
        for index in counted(np.flatnonzero((steps > limits[:, None]).any(axis=-1)), "despike", "spectra"):
            row, limit = complete[index], limits[index]
            marks[row] = _runs(values[row], steps[index] > limit, limit, width)
    return marks.reshape(spectra.shape)


# Modified z-scores of the differences between channels: these have no baseline, and the median of their absolute
# values, over 0.6745, is the standard deviation of normal noise however high the spikes are. Where more than half of
# all steps are exactly equal that median is zero and says nothing. Counts then have the noise of Poisson, √2 of it in
# a difference, of at least one count; for other values the mean takes the place of the median (Iglewicz and Hoaglin,
# How to Detect and Handle Outliers (ASQC, 1993), 3.1), and what is constant throughout has none.
def _steps(values: Array, counts: bool) -> tuple[Array, Array]:
    """Return how far the steps between channels are off their median, and the noise of a step in each spectrum."""
    steps = np.diff(values, axis=-1)
    steps = np.abs(steps - np.median(steps, axis=-1, keepdims=True))
    spread = np.median(steps, axis=-1) / 0.6745
    if counts:
        usual = np.sqrt(2.0 * np.maximum(np.median(values, axis=-1), 1.0))
    else:
        usual = steps.mean(axis=-1) * np.sqrt(np.pi / 2.0)
    return steps, np.where(spread > 0, spread, usual)


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
    mended = spectrum.copy()
    for first, last in _ends(marked):
        if bands[first:last].any():
            continue
        left, right = spectrum[max(first - width, 0) : first], spectrum[last : last + width]
        sides = [side.mean() for side in (left, right) if side.size]
        centres = [first - (left.size + 1) / 2] * bool(left.size) + [last + (right.size - 1) / 2] * bool(right.size)
        mended[first:last] = np.interp(np.arange(first, last), centres, sides)
    return mended
