"""Cleaning before analysis: cut the range, take the baseline away, set what is below zero to zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import signal_dim
from fusion.errors import DataError
from spectra.variables import main_variable

Array = npt.NDArray[Any]


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
        spectrum with NaN becomes NaN throughout.

    Raises
    ------
    DataError
        If pybaselines knows no such method, or refuses the options.
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
    array = main_variable(fusion.check(ds))
    dim = signal_dim(array)
    options = _accepted(array[dim].values, method, options)
    result = _each_spectrum(ds, partial(_corrected, positions=array[dim].values, method=method, options=options))
    return provenance.record(result, "spectra.baseline", {"method": method, **options})


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
    result = _each_spectrum(fusion.check(ds), partial(_mended, threshold=threshold, width=width))
    return provenance.record(result, "spectra.despike", {"threshold": threshold, "width": width})


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
        0.4 of its standard deviation.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"intensity": (("x", "energy"), np.array([[-1.0, 2.0]]))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="mean")
    >>> clip(ds)["intensity"].values
    array([[0., 2.]])
    """
    array = main_variable(fusion.check(ds))
    clipped = array.clip(min=0, keep_attrs=True)
    return provenance.record(fusion.check(ds.assign({str(array.name): clipped})), "spectra.clip")


def crop(ds: xr.Dataset, /, **ranges: tuple[float | None, float | None]) -> xr.Dataset:
    """Cut a dataset to ranges of its coordinates, both ends included.

    Parameters
    ----------
    ds : Dataset
    **ranges : (float or None, float or None)
        For each axis the lowest and highest coordinate in its standard unit, ``energy=(0.2, 10.0)`` in keV,
        ``x=(0.0, 50.0)`` in um; None leaves an end as it is.

    Returns
    -------
    Dataset
        A view, lazy if it was.

    Raises
    ------
    DataError
        If an axis is not there, or nothing lies in its range.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.ones((2, 5)))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="sum")
    >>> crop(ds, energy=(0.5, 1.5))["energy"].values
    array([0.5, 1. , 1.5])
    """
    kept = fusion.check(ds)
    for dim, (low, high) in ranges.items():
        if dim not in kept.dims or dim not in kept.coords:
            raise DataError(f"there is no axis {dim!r} to crop; the axes are {', '.join(map(str, kept.dims))}")
        cut = kept.sel({dim: slice(low, high)})
        if not cut.sizes[dim]:
            first, last = (float(kept[dim][index]) for index in (0, -1))
            unit = kept[dim].attrs.get("units", "")
            raise DataError(f"nothing along {dim} lies in ({low}, {high}); it runs from {first:g} to {last:g} {unit}")
        kept = cut
    return provenance.record(kept, "spectra.crop", dict(ranges))


def _each_spectrum(ds: xr.Dataset, function: Callable[[Array], Array]) -> xr.Dataset:
    """Return the dataset with its spectra (last axis) changed by a function, block by block where they are lazy."""
    array = main_variable(ds)
    dim = signal_dim(array)
    changed = xr.apply_ufunc(
        function,
        array,
        input_core_dims=[[dim]],
        output_core_dims=[[dim]],
        dask="parallelized",
        output_dtypes=[_float_type(array)],
        dask_gufunc_kwargs={"allow_rechunk": True},
        keep_attrs=True,
    )
    return fusion.check(ds.assign({str(array.name): changed}))


def _mended(spectra: Array, *, threshold: float, width: int) -> Array:
    values = spectra.astype(_float_type(spectra))
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


def _corrected(spectra: Array, *, positions: Array, method: str, options: dict[str, Any]) -> Array:
    from pybaselines import Baseline

    fitter = getattr(Baseline(positions, check_finite=False), method)
    flat = spectra.reshape(-1, spectra.shape[-1])
    result = np.full(flat.shape, np.nan, dtype=_float_type(spectra))
    for index in np.flatnonzero(np.isfinite(flat).all(axis=1)):
        spectrum = flat[index].astype(np.float64)
        result[index] = spectrum - fitter(spectrum, **options)[0]
    return result.reshape(spectra.shape)


def _float_type(array: Array | xr.DataArray) -> np.dtype[Any]:
    return np.dtype(np.float32 if array.dtype == np.float32 else np.float64)


def _accepted(positions: Array, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options as the method takes them: tried on a ramp, so that even lazy data fail at once."""
    from pybaselines import Baseline

    if method.startswith("_") or not callable(getattr(Baseline, method, None)):
        raise DataError(f"pybaselines knows no method {method!r}; common ones are 'asls', 'arpls', 'snip', 'modpoly'")
    refusal = _refusal(positions, method, options)
    if refusal is None:
        return options
    whole = {key: _whole(value) for key, value in options.items()}
    if _refusal(positions, method, whole) is None:
        return whole
    raise DataError(f"pybaselines refuses method {method!r} with {options}: {refusal}") from refusal


def _refusal(positions: Array, method: str, options: dict[str, Any]) -> Exception | None:
    from pybaselines import Baseline

    try:
        getattr(Baseline(positions), method)(1.0 + np.arange(positions.size, dtype=np.float64), **options)
    except Exception as error:  # numba, which compiles some methods, has errors of its own
        return error
    return None


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
