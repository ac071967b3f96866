"""The scale of spectra: what is below zero, and what is made one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr

import fusion
from fusion import units
from fusion.conventions import signal_dim
from fusion.errors import DataError
from fusion.variables import real_variable
from spectra.cleaning.step import Array, as_intensity, each_spectrum, finished, float_type, variance, where_kept


def clip(ds: xr.Dataset) -> xr.Dataset:
    """Set negative values to zero, as non-negative decompositions need after a baseline was taken off.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).

    Returns
    -------
    Dataset
        The same dataset with the clipped variable; NaN stays, lazy stays lazy. The mean of noise around zero rises by
        0.4 of its standard deviation. A standard error is NaN where a value was set to zero.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"intensity": (("x", "energy"), np.array([[-1.0, 2.0]]))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="mean")
    >>> clip(ds)["intensity"].values
    array([[0., 2.]])
    """
    array = real_variable(fusion.check(ds))
    clipped = array.clip(min=0, keep_attrs=True)
    return finished(ds, clipped, "spectra.clip", error=where_kept(ds, array, clipped))


def normalise(ds: xr.Dataset, *, by: Literal["area", "max", "norm"] | Sequence[float]) -> xr.Dataset:
    """Divide every spectrum by its own area, maximum, Euclidean norm, or area in a range.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).
    by : {"area", "max", "norm"} or (float, float)
        What becomes one. The area is the integral over the axis, by the trapezoidal rule; a pair is the range, in
        the unit of the axis, whose area becomes one.

    Returns
    -------
    Dataset
        The same dataset with intensities, in ``1`` or, for areas, in the inverse unit of the axis; lazy if it was.
        A spectrum whose divisor is not positive or not finite becomes NaN. Counts become intensities. The standard
        error, of counts that of Poisson, is carried through the division, the error of the divisor included:
        σ²(aᵢ/S) = [σᵢ² (1 − 2 rᵢ gᵢ) + rᵢ² Σ gⱼ² σⱼ²] / S² with r = a/S and g = ∂S/∂a, to first order and for
        channels that are independent.

    Raises
    ------
    DataError
        If `by` is something else, or fewer than two channels lie in the range.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"intensity": (("x", "energy"), np.array([[1.0, 2.0, 4.0]]))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="mean")
    >>> normalise(ds, by="max")["intensity"].values
    array([[0.25, 0.5 , 1.  ]])
    """
    array = real_variable(fusion.check(ds))
    positions = array[signal_dim(array)]
    by = by if isinstance(by, str) or np.shape(by) != (2,) else (float(by[0]), float(by[1]))
    weights = _weights(positions, by)
    unit = "1" if isinstance(by, str) and by != "area" else _inverse(str(positions.attrs.get("units", "1")))
    scale = partial(_scaled, by=by, weights=weights)
    scaled = as_intensity(each_spectrum(array, scale)).assign_attrs(units=unit)
    squares = variance(ds, array)
    error = None if squares is None else each_spectrum(array, partial(_error, by=by, weights=weights), squares)
    parameters = {"by": by if isinstance(by, str) else list(by)}
    return finished(ds, scaled, "spectra.normalise", parameters, error=error)


# The trapezoidal rule gives a channel half the distance between its neighbours, so that uneven axes count by width and
# not by number of channels; outside the range a channel counts nothing.
def _weights(positions: xr.DataArray, by: str | Sequence[float]) -> Array:
    """Return what each channel counts for in an area, by the trapezoidal rule."""
    values = positions.values.astype(np.float64)
    if isinstance(by, str) and by in ("max", "norm"):
        return np.ones(values.size)
    if (by != "area") if isinstance(by, str) else (np.shape(by) != (2,)):
        raise DataError(f"by is 'area', 'max', 'norm' or a range (low, high); received {by!r}")
    low, high = (values[0], values[-1]) if isinstance(by, str) else (float(by[0]), float(by[1]))
    inside = np.flatnonzero((values >= low) & (values <= high))
    if inside.size < 2:
        unit = positions.attrs.get("units", "")
        raise DataError(
            f"{inside.size} channels along {positions.name} lie in ({low:g}, {high:g}); an area needs two; "
            f"the axis runs from {values[0]:g} to {values[-1]:g} {unit}"
        )
    weights, steps = np.zeros(values.size), np.diff(values[inside]) / 2.0
    weights[inside[:-1]] += steps
    weights[inside[1:]] += steps
    return weights


def _inverse(unit: str) -> str:
    return {"1": "1", "1/cm": "cm"}.get(unit) or units.parse(f"1/{unit}")


def _divisor(spectra: Array, by: object, weights: Array) -> Array:
    used = spectra[..., weights > 0]
    if by == "max":
        divisor = used.max(axis=-1, keepdims=True)
    elif by == "norm":
        divisor = np.linalg.norm(used, axis=-1, keepdims=True)
    else:
        divisor = (used * weights[weights > 0]).sum(axis=-1, keepdims=True)
    return np.where((divisor > 0) & np.isfinite(divisor), divisor, np.nan)


def _scaled(spectra: Array, *, by: object, weights: Array) -> Array:
    values = spectra.astype(np.float64)
    return np.asarray((values / _divisor(values, by, weights)).astype(float_type(spectra)))


def _error(spectra: Array, squares: Array, *, by: object, weights: Array) -> Array:
    # Propagation through a_i / S: S depends on all channels with the slopes g, so that σ_i appears twice, once of its
    # own and once in S; the cross term −2 r_i g_i σ_i² is their covariance.
    values = spectra.astype(np.float64)
    divisor = _divisor(values, by, weights)
    ratio = values / divisor
    if by == "max":
        slope = (np.arange(weights.size) == values.argmax(axis=-1)[..., None]).astype(np.float64)
    else:
        slope = ratio if by == "norm" else np.broadcast_to(weights, values.shape)
    shared = (np.where(slope != 0, slope**2 * squares, 0.0)).sum(axis=-1, keepdims=True)
    result = (squares * (1.0 - 2.0 * ratio * slope) + ratio**2 * shared) / divisor**2
    return np.asarray(np.sqrt(np.maximum(result, 0.0)).astype(float_type(spectra)))
