"""Smoothing along the signal axis: Savitzky–Golay, or a Gaussian of a width in the unit of the axis."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

import fusion
from fusion.conventions import signal_dim, spacing
from fusion.errors import DataError
from fusion.variables import real_variable
from spectra.cleaning.step import Array, as_intensity, each_spectrum, finished, float_type, variance

_REACH = 4.0
"""Standard deviations after which a Gaussian ends."""


def smooth(
    ds: xr.Dataset, *, window: int | None = None, order: int | None = None, sigma: float | None = None
) -> xr.Dataset:
    """Smooth every spectrum along its axis.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).
    window : int, optional
        Savitzky–Golay: an odd number of channels to which a polynomial is fitted, on an axis that is uniform.
    order : int, optional
        Of that polynomial, below the window; 2 if left out.
    sigma : float, optional
        Gaussian: its standard deviation in the unit of the axis, which need not be uniform.

    Returns
    -------
    Dataset
        The same dataset with the smoothed variable, float32 if it was float32, else float64; lazy if it was. NaN
        spreads as far as the window. Counts become intensities, as neighbours now share them. The standard
        error, of counts that of Poisson, is √(Σ wⱼ² σⱼ²) with the weights w of the filter; errors of channels
        closer than the window are then correlated.

    Raises
    ------
    DataError
        If not exactly one of `window` and `sigma` is given, they do not fit the axis, or it is not uniform.

    References
    ----------
    A. Savitzky and M. J. E. Golay, Anal. Chem. 36, 1627 (1964).

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"intensity": (("x", "energy"), np.array([[0.0, 0.0, 3.0, 0.0, 0.0]]))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="mean")
    >>> smooth(ds, window=3, order=1)["intensity"].round(6).values[0, 1:-1]
    array([1., 1., 1.])
    """
    array = real_variable(fusion.check(ds))
    if (window is None) == (sigma is None):
        raise DataError(f"give either window (channels) or sigma (unit of the axis); received {window!r}, {sigma!r}")
    positions = array[signal_dim(array)]
    if sigma is not None:
        if order is not None:
            raise DataError("order belongs to window; a Gaussian has none")
        weights = _gaussian(positions.values, sigma)
        parameters: dict[str, Any] = {"sigma": float(sigma)}
    else:
        order = 2 if order is None else order
        weights = _savitzky_golay(positions, window, order)
        parameters = {"window": window, "order": order}
    smoothed = as_intensity(each_spectrum(array, partial(_applied, weights=weights)))
    squares = variance(ds, array)
    error = None if squares is None else each_spectrum(array, partial(_error, weights=weights), squares)
    return finished(ds, smoothed, "spectra.smooth", parameters, error=error)


def _gaussian(positions: Array, sigma: float) -> Any:
    """Return the matrix of the filter; a channel weighs by the width that it stands for."""
    from scipy.sparse import csr_array

    if not (isinstance(sigma, (int, float, np.number)) and sigma > 0):
        raise DataError(f"sigma is positive; received {sigma!r}")
    # w_ij ∝ exp(−(x_i − x_j)² / 2σ²) Δx_j, each row with sum one: the integral of the spectrum against a Gaussian, so
    # that a dense stretch of an uneven axis does not outweigh a coarse one. A convolution would need even channels.
    values = positions.astype(np.float64)
    widths = np.gradient(values) if values.size > 1 else np.ones(1)
    reach = _REACH * sigma * (1.0 + 1e-9)  # so that rounding takes no channel on one side only
    first = np.searchsorted(values, values - reach)
    last = np.searchsorted(values, values + reach, side="right")
    rows = np.repeat(np.arange(values.size), last - first)
    columns = np.concatenate([np.arange(low, high) for low, high in zip(first, last, strict=True)])
    weights = np.exp(-0.5 * ((values[rows] - values[columns]) / sigma) ** 2) * widths[columns]
    weights /= np.bincount(rows, weights)[rows]
    return csr_array((weights, (rows, columns)), shape=(values.size, values.size))


def _savitzky_golay(positions: xr.DataArray, window: Any, order: int) -> Any:
    """Return the matrix of the filter; at the ends it is the polynomial fitted to the first or last window."""
    from scipy.signal import savgol_filter
    from scipy.sparse import csr_array

    size = positions.size
    integers = all(isinstance(number, (int, np.integer)) for number in (window, order))
    if not (integers and window % 2 == 1 and 0 <= order < window <= size):
        raise DataError(
            f"window is an odd number of channels above the order ({order!r}) and at most {size}; received {window!r}"
        )
    if size > 1 and spacing(positions) is None:
        raise DataError(f"the axis {positions.name} is not uniform, as window needs; give sigma in its unit instead")
    # A least-squares polynomial is linear in the values: its value at each channel of the window is a row of weights,
    # the response to unit vectors. As a sparse matrix, the same weights squared carry the variance.
    rules, half = savgol_filter(np.eye(int(window)), window, order, axis=0), window // 2
    middle = np.arange(size)
    start = np.clip(middle - half, 0, size - window)
    rows = np.repeat(middle, window)
    columns = (start[:, None] + np.arange(window)).ravel()
    return csr_array((rules[middle - start].ravel(), (rows, columns)), shape=(size, size))


def _applied(spectra: Array, *, weights: Any) -> Array:
    flat = spectra.reshape(-1, spectra.shape[-1]).astype(np.float64)
    return np.asarray((weights @ flat.T).T.reshape(spectra.shape).astype(float_type(spectra)))


def _error(spectra: Array, squares: Array, *, weights: Any) -> Array:
    variances = _applied(np.broadcast_to(squares, spectra.shape), weights=weights.power(2))
    return np.asarray(np.sqrt(variances).astype(float_type(spectra)))
