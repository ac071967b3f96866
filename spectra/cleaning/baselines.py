"""Smooth baselines under every spectrum, by the algorithms of pybaselines."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

import fusion
from fusion.conventions import signal_dim
from fusion.errors import DataError
from fusion.progress import counted
from fusion.variables import real_variable
from spectra.cleaning.step import Array, each_spectrum, finished, float_type


def baseline(ds: xr.Dataset, /, *, method: str = "asls", **options: Any) -> xr.Dataset:
    """Subtract a smooth baseline from every spectrum.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).
    method : str
        A method of pybaselines for single spectra: ``"asls"``, ``"arpls"``, ``"snip"``, ``"modpoly"``, ... Those of
        the Whittaker family (``"asls"``, ``"arpls"``) take the channels as evenly spaced.
    **options
        Of that method, e.g. ``lam=1e5`` for the stiffness of ``"asls"``. Where it needs whole numbers, ``20.0`` is 20.

    Returns
    -------
    Dataset
        The same dataset with the corrected variable, float32 if it was float32, else float64; lazy if it was. A
        spectrum with NaN becomes NaN throughout, and one that is constant zero. A standard error is left out: that of
        the baseline is not known.

    Raises
    ------
    DataError
        If pybaselines knows no such method, refuses the options, or finds no baseline below a spectrum.
    ConventionError
        If the dataset breaks the conventions or it is not clear which variable is meant.

    References
    ----------
    P. H. C. Eilers, Anal. Chem. 75, 3631 (2003): asymmetric least squares.

    Examples
    --------
    >>> from fusion import Axis
    >>> shift = np.linspace(0.0, 1.0, 200)
    >>> peak = 5.0 * np.exp(-(((shift - 0.5) / 0.02) ** 2))
    >>> ds = fusion.dataset(
    ...     {"intensity": (("x", "raman_shift"), np.stack([peak + 3.0 + shift, peak + 9.0]))},
    ...     {"x": Axis("um", 1.0), "raman_shift": Axis("1/cm", values=600.0 + 1000.0 * shift)},
    ...     name="map", cell_methods="mean")
    >>> flat = baseline(ds, lam=1e5)["intensity"]
    >>> bool(abs(flat - peak).max() < 0.2)
    True
    """
    array = real_variable(fusion.check(ds))
    dim = signal_dim(array)
    options = _accepted(array[dim].values, method, options)
    function = partial(_corrected, positions=array[dim].values, method=method, options=options)
    return finished(ds, each_spectrum(array, function), "spectra.baseline", {"method": method, **options})


def _corrected(spectra: Array, *, positions: Array, method: str, options: dict[str, Any]) -> Array:
    from pybaselines import Baseline

    # "asls", the usual one, minimises Σ w (y − b)² + λ Σ (Δ²b)², with the weight p ≪ 1 where the spectrum lies above
    # the baseline and 1 − p below: asymmetry, and no list of peaks, keeps it under the bands (Eilers 2003). Spectra
    # are fitted one by one, since the weights are iterated for each.
    fitter = getattr(Baseline(positions, check_finite=False), method)
    flat = spectra.reshape(-1, spectra.shape[-1])
    result = np.full(flat.shape, np.nan, dtype=float_type(spectra))
    for index in counted(np.flatnonzero(np.isfinite(flat).all(axis=1)), "baseline", "spectra"):
        spectrum = flat[index].astype(np.float64)
        result[index] = spectrum - _fitted(fitter, spectrum, method, options)
    return result.reshape(spectra.shape)


def _fitted(fitter: Callable[..., Any], spectrum: Array, method: str, options: dict[str, Any]) -> Array:
    """Return the baseline of a spectrum; one that is constant is its own."""
    # Methods that look for the scale of the noise find none in a spectrum without: some then give NaN, and some give
    # up before the first round, with zero as the baseline.
    if not np.ptp(spectrum):
        return spectrum
    try:
        found = np.asarray(fitter(spectrum, **options)[0])
    except Exception as error:  # of numpy, Qhull, ... on what is flat or empty
        raise DataError(f"pybaselines cannot fit a spectrum by {method!r}: {error}") from error
    if not np.isfinite(found).all() or (spectrum.min() > 0 and not found.any()):
        reason = "it finds no baseline, perhaps because most channels have the same value; use 'asls' or 'snip'"
        raise DataError(f"pybaselines cannot fit a spectrum by {method!r}: {reason}")
    return found


def _accepted(positions: Array, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options as the method takes them: tried on synthetic spectra, so that even lazy data fail at once."""
    from pybaselines import Baseline

    if method.startswith("_") or not callable(getattr(Baseline, method, None)):
        raise DataError(f"pybaselines knows no method {method!r}; common ones are 'asls', 'arpls', 'snip', 'modpoly'")
    refusal = _refusal(positions, method, options)
    if refusal is None:
        return options
    integers = {key: _as_integer(value) for key, value in options.items()}
    if _refusal(positions, method, integers) is None:
        return integers
    raise DataError(f"pybaselines refuses method {method!r} with {options}: {refusal}") from refusal


def _refusal(positions: Array, method: str, options: dict[str, Any]) -> Exception | None:
    """Return why a method takes neither a ramp nor a noisy peak on one; some need the one, some the other."""
    from pybaselines import Baseline

    ramp = np.linspace(-1.0, 1.0, positions.size)
    peak = 9.0 * np.exp(-50.0 * ramp**2) + np.random.default_rng(0).normal(0.0, 0.1, ramp.size)
    refusal: Exception | None = None
    for spectrum in (2.0 + ramp, 2.0 + ramp + peak):
        try:
            with warnings.catch_warnings(action="ignore"):
                getattr(Baseline(positions), method)(spectrum, **options)
            return None
        except Exception as error:  # numba, which compiles some methods, has errors of its own
            refusal = error
    return refusal


def _as_integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
