"""Resolution of an image or a volume from two independent versions of it, by Fourier ring or shell correlation."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import spatial_dims, stderr_name
from fusion.errors import DataError, UnitError
from fusion.model import Axis, dataset
from volumes.tomography._shells import Shells, half_bit, shells
from volumes.tomography.shift import step_along

Array = npt.NDArray[Any]
Criterion = Literal["half_bit", "1/7"]
_CONE: Final = 30.0
"""Degrees between an axis and the frequencies that count as lying along it."""
_TAPER: Final = 0.25
"""Share of each side that the window takes to rise from 0 to 1. A steeper one smears the spectrum and flatters."""
_DRAWS: Final = 400
_SMALLEST: Final = 16


class _Limit(NamedTuple):
    """Where a curve falls below its threshold, as a length in um, with a 95 % interval."""

    value: float
    low: float
    high: float


def resolution(
    a: xr.DataArray,
    b: xr.DataArray,
    *,
    mask: xr.DataArray | None = None,
    criterion: Criterion = "half_bit",
    seed: int = 0,
) -> xr.Dataset:
    """Find down to which length two independent versions of an image or a volume agree.

    Parameters
    ----------
    a, b : DataArray (y, x) or (z, y, x)
        On one uniform grid in um: the halves of `volumes.reconstruct`, or two exposures. What both share counts as
        signal: noise in common, one mask with sharp edges, one alignment of all views.
    mask : DataArray, optional
        Weights from 0 to 1 on the same grid, with soft edges.
    criterion : {"half_bit", "1/7"}
        The threshold: the half-bit curve, or the correlation 1/7 = 0.143 of halves whose sum has 0.5 with the truth.
    seed : int
        Of the draws that give the intervals.

    Returns
    -------
    Dataset
        ``correlation`` (spatial_frequency, in 1/um) with its standard error, ``half_bit`` and ``independent``, the
        number of independent coefficients of a shell; ``directional`` (axis, spatial_frequency), of the frequencies
        within 30 degrees of each axis, which shows what the missing wedge took.

        ``resolution`` in um, the inverse of the frequency at which the curve falls below the threshold, with
        ``resolution_low`` and ``resolution_high``, a 95 % interval; ``resolution_along`` (axis) and its interval.
        The attribute ``verdict`` says it in words. NaN where the curve stays above up to the last shell: the resolution
        is then finer than ``resolution_high``. Infinite where no shell is above.

    Raises
    ------
    DataError
        If the grids differ or are not uniform, a side has fewer than 16 pixels, or nothing varies.
    UnitError
        If the pixel size is not known.

    Notes
    -----
    G. Harauz and M. van Heel, Optik 73, 146 (1986); M. van Heel and M. Schatz, J. Struct. Biol. 151, 250 (2005); 1/7:
    P. B. Rosenthal and R. Henderson, J. Mol. Biol. 333, 721 (2003). The curve is taken to fall: isotonic regression
    keeps one noisy shell from ending it, and is not fit for phase contrast, whose transfer has zeros.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> axes = {"y": Axis("nm", 2.0), "x": Axis("nm", 2.0)}
    >>> a, b = (dataset({"v": (("y", "x"), rng.normal(size=(64, 64)))}, axes, name="noise")["v"] for _ in "ab")
    >>> str(resolution(a, b).attrs["verdict"])
    'no detail in common'
    """
    if criterion not in get_args(Criterion):
        raise DataError(f"criterion is one of {', '.join(get_args(Criterion))}; received {criterion!r}")
    first, second, window = _prepared(a, b, mask)
    dims = spatial_dims(a)
    steps = [step_along(a, dim) for dim in dims]
    frequencies, shell, weight, axes_of = _frequencies(first.shape, steps)
    f1, f2 = (np.fft.rfftn(values * window) for values in (first, second))
    # A window w leaves (sum w²)² / (N sum w⁴) of N coefficients independent. A shell is one coefficient thick, so that
    # this holds along its d - 1 directions, while across it the dependence is that of neighbouring shells. Simulated,
    # the standard error of noise is then right to some 5 %.
    share = float((window**2).sum() ** 2 / (window.size * (window**4).sum())) ** (1.0 - 1.0 / len(dims))
    weights = [weight, *(weight * inside for inside in axes_of)]
    curves = [shells(f1, f2, shell, each, frequencies.size, share) for each in weights]
    rng = np.random.default_rng(seed)
    # drawn shells are independent of each other; those of windowed volumes are not, which this factor stands for
    widened = share ** (-0.5 / (len(dims) - 1))
    limits = [_limit(frequencies[1:], curve, criterion, widened, rng) for curve in curves]
    result = _labelled(frequencies[1:], curves, limits, dims, criterion)
    return provenance.record(result, "volumes.resolution", {"criterion": criterion, "seed": seed})


def _prepared(a: xr.DataArray, b: xr.DataArray, mask: xr.DataArray | None) -> tuple[Array, Array, Array]:
    """Return two arrays without their means, and the window."""
    arrays = [a, b] if mask is None else [a, b, mask.astype(float)]
    try:
        arrays = list(xr.align(*arrays, join="exact"))
    except ValueError as error:
        raise DataError(f"{a.name} and {b.name} lie on different grids; fusion.resample one onto the other") from error
    dims = spatial_dims(a)
    if set(a.dims) != set(dims) or len(dims) < 2 or any(set(each.dims) != set(dims) for each in arrays):
        raise DataError(f"two images (y, x) or volumes (z, y, x) are needed; received dims {[e.dims for e in arrays]}")
    if any(a[dim].attrs.get("units") != "um" for dim in dims):
        raise UnitError(f"{a.name}: a resolution in um needs axes in um; use fusion.set_pixel_size")
    if min(a.sizes[dim] for dim in dims) < _SMALLEST:
        raise DataError(f"{a.name}: sides of {dict(a.sizes)} pixels; at least {_SMALLEST} are needed")
    first, second, *weights = (each.transpose(*dims).values.astype(np.float64) for each in arrays)
    finite = np.isfinite(first) & np.isfinite(second)
    window = _taper(first.shape) * finite * (weights[0] if weights else 1.0)
    if not window.any():
        raise DataError(f"{a.name}: no pixel is finite in both and within the mask")
    centred = [np.where(finite, v - np.average(np.where(finite, v, 0.0), weights=window), 0.0) for v in (first, second)]
    if any(np.abs(values * window).max() == 0.0 for values in centred):
        raise DataError(f"{a.name}: values do not vary, so that they have no resolution")
    return centred[0], centred[1], window


def _taper(shape: tuple[int, ...]) -> Array:
    """Return a window that rises as a cosine over a quarter of each side, as sharp edges would correlate."""
    window = np.ones(shape)
    for axis, size in enumerate(shape):
        edge = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / (_TAPER * size)
        ramp = 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge, 1.0))
        window *= ramp.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return window


def _frequencies(shape: tuple[int, ...], steps: list[float]) -> tuple[Array, Array, Array, list[Array]]:
    """Return the frequencies of the shells, the shell and weight of each coefficient, and which lie along each axis."""
    # Shells are as wide as one coefficient of the shortest side, in 1/um and not in pixels, so that voxels need not be
    # cubes; the last one lies within the Nyquist frequency of every axis.
    axes = [np.fft.fftfreq(n, step) for n, step in zip(shape[:-1], steps[:-1], strict=True)]
    axes.append(np.fft.rfftfreq(shape[-1], steps[-1]))
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    radius = np.sqrt(sum(grid**2 for grid in grids))
    width = max(1.0 / (n * step) for n, step in zip(shape, steps, strict=True))
    shell = np.rint(radius / width).astype(np.intp)
    count = int(0.5 / max(steps) / width) + 1
    weight = np.full(radius.shape, 2.0)
    weight[..., 0] = 1.0
    if shape[-1] % 2 == 0:
        weight[..., -1] = 1.0
    along = [np.abs(grid) >= np.cos(np.deg2rad(_CONE)) * radius for grid in grids]
    return width * np.arange(count), shell, weight, along


def _threshold(curve: Shells, criterion: Criterion) -> Array:
    return half_bit(curve.independent) if criterion == "half_bit" else np.full(curve.independent.shape, 1.0 / 7.0)


# The curve is taken to fall with frequency: its isotonic regression, weighted by the coefficients of each shell, is cut
# with the threshold. Curves drawn around it with the standard errors of the shells are fitted and cut likewise, and
# 95 % of their crossings are the interval (parametric bootstrap).
def _limit(frequencies: Array, curve: Shells, criterion: Criterion, widened: float, rng: np.random.Generator) -> _Limit:
    known = np.isfinite(curve.correlation[1:])
    f, values = frequencies[known], curve.correlation[1:][known]
    if f.size < 3:
        return _Limit(np.nan, np.nan, np.nan)
    weights, stderr = curve.independent[1:][known], curve.stderr[1:][known]
    threshold = _threshold(curve, criterion)[1:][known]
    fitted = _falling(values, weights)
    found = _crossing(f, fitted - threshold)
    spread = widened * stderr * np.sqrt(np.maximum(1.0 - fitted**2, 0.0) / np.maximum(1.0 - values**2, 1e-12))
    drawn = [
        _crossing(f, _falling(fitted + spread * rng.normal(size=f.size), weights) - threshold) for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    lengths = [np.inf if at == 0.0 else 1.0 / at for at in (found, high, low)]
    lengths[0] = np.nan if found == np.inf else lengths[0]
    # beyond the last shell nothing was measured: what can be said is that the resolution is finer than it
    lengths[2] = 1.0 / f[-1] if low == np.inf else lengths[2]
    return _Limit(*lengths)


def _falling(values: Array, weights: Array) -> Array:
    from scipy.optimize import isotonic_regression

    fitted: Array = isotonic_regression(values, weights=weights, increasing=False).x
    return fitted


def _crossing(f: Array, above: Array) -> float:
    """Return the frequency at which a curve falls below 0: 0 if it begins there, infinity if it never does."""
    below = np.flatnonzero(above < 0.0)
    if not below.size:
        return float("inf")
    k = int(below[0])
    if k == 0:
        return 0.0
    part = above[k - 1] / (above[k - 1] - above[k])
    return float(f[k - 1] + part * (f[k] - f[k - 1]))


def _labelled(
    frequencies: Array, curves: list[Shells], limits: list[_Limit], dims: tuple[str, ...], criterion: Criterion
) -> xr.Dataset:
    whole, *along = curves
    f, fa = "spatial_frequency", ("axis", "spatial_frequency")
    variables: dict[str, Any] = {
        "correlation": (f, whole.correlation[1:]),
        stderr_name("correlation"): (f, whole.stderr[1:]),
        "half_bit": (f, half_bit(whole.independent[1:])),
        "independent": (f, whole.independent[1:]),
        "directional": (fa, np.stack([curve.correlation[1:] for curve in along])),
        stderr_name("directional"): (fa, np.stack([curve.stderr[1:] for curve in along])),
        "directional_half_bit": (fa, np.stack([half_bit(curve.independent[1:]) for curve in along])),
    }
    for k, part in enumerate(("", "_low", "_high")):
        variables[f"resolution{part}"] = ((), limits[0][k], {"units": "um"})
        variables[f"resolution_along{part}"] = ("axis", [limit[k] for limit in limits[1:]], {"units": "um"})
    attrs = {"criterion": criterion, "verdict": _verdict(limits[0])}
    axes: dict[str, Any] = {f: Axis("1/um", values=frequencies), "axis": list(dims)}
    return dataset(variables, axes, name="resolution", attrs=attrs)


def _verdict(limit: _Limit) -> str:
    if np.isinf(limit.value):
        return "no detail in common"
    if np.isnan(limit.value):
        return f"finer than {limit.high:.4g} um, the last shell"
    return f"{limit.value:.4g} um (95 % interval {limit.low:.4g} to {limit.high:.4g})"
