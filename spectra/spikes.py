"""Spikes of cosmic rays."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

import fusion
from fusion.errors import DataError
from spectra.spectrum import Array, each_spectrum, finished, float_type, where_kept
from spectra.variables import main_variable


def despike(ds: xr.Dataset, *, threshold: float = 8.0, width: int = 3) -> xr.Dataset:
    """Replace spikes of cosmic rays by what the channels beside them say.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal); the signal axis is read as a whole.
    threshold : float
        How many standard deviations a step between neighbouring channels must be off to count as the edge of a spike.
    width : int
        Channels to each side from which a spiked channel is interpolated.

    Returns
    -------
    Dataset
        The same dataset with the mended variable, in its own dtype if that is floating, else float64; lazy if it was.
        A standard error is NaN where a channel was mended.

    Raises
    ------
    DataError
        If the threshold or the width is not positive.

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
    if not (threshold > 0 and width >= 1):
        raise DataError(f"threshold and width are positive; received {threshold!r} and {width!r}")
    array = main_variable(fusion.check(ds))
    mended = each_spectrum(array, partial(_mended, threshold=threshold, width=width))
    parameters = {"threshold": threshold, "width": width}
    return finished(ds, mended, "spectra.despike", parameters, error=where_kept(ds, array, mended))


def _mended(spectra: Array, *, threshold: float, width: int) -> Array:
    values = spectra.astype(float_type(spectra))
    if values.shape[-1] < 2:
        return values
    steps = np.diff(values, axis=-1)
    centred = steps - np.median(steps, axis=-1, keepdims=True)
    spread = np.median(np.abs(centred), axis=-1, keepdims=True)
    edges = 0.6745 * np.abs(centred) > threshold * np.where(spread > 0, spread, np.inf)
    spiked = np.zeros(values.shape, dtype=bool)
    spiked[..., 1:] |= edges
    spiked[..., :-1] |= edges
    for place in np.argwhere(spiked):
        row, channel = tuple(place[:-1]), int(place[-1])
        beside = slice(max(channel - width, 0), channel + width + 1)
        kept = spectra[row][beside][~spiked[row][beside]]
        if kept.size:
            values[(*row, channel)] = kept.mean()
    return values
