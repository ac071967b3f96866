"""Whether two maps of one specimen vary together, and whether the field is large enough to say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine
from fusion.conventions import SPATIAL, error_of, spacing
from fusion.errors import DataError
from fusion.progress import counted
from fusion.resampling.resample import resample
from fusion.statistics import _autocovariance as spatial
from fusion.statistics.positions import extremes, relation

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Test = Literal["effective", "surrogate", "none"]

LEAST: Final = 20.0
"""Effective pixels below which no p-value is given: there the test rejects true independence in up to 14 of 100."""
_TESTS: Final = ("effective", "surrogate", "none")


@dataclass(frozen=True)
class Correlation:
    """Pearson's correlation of two maps, and what may be concluded from it; ``float(...)`` is `r`.

    Parameters
    ----------
    r : float
        Over the pixels where both maps are finite.
    low, high : float
        95 % interval of the correlation of the fields of which these maps are a sample (Fisher's z with `n_effective`),
        from the least to the largest at any position that the registration allows. NaN where the field is too small, or
        the error of the position is not known.
    p : float
        Probability of a correlation as large as this one, of either sign, between independent fields that are as smooth
        as these two. NaN where the field is too small, or no test was made.
    n_effective : float
        Number of independent pixels that would know as much; NaN where no test was made.
    pixels : int
        Number of pixels that were used.
    corrected : float
        `r` without the attenuation by noise, where both variables carry a standard error; NaN where one does not, or
        where the noise is as large as the variation. It is not bounded by 1.
    test : str
        ``"effective"``, ``"surrogate"`` or ``"none"``.
    verdict : str
        The conclusion in words.
    """

    r: float
    low: float
    high: float
    p: float
    n_effective: float
    pixels: int
    corrected: float
    test: Test
    verdict: str

    def __float__(self) -> float:
        return self.r


def correlation(
    a: xr.DataArray,
    b: xr.DataArray,
    where: xr.DataArray | None = None,
    *,
    transform: Affine | None = None,
    errors: xr.Dataset | None = None,
    test: Test = "effective",
    draws: int = 999,
    seed: int = 0,
) -> Correlation:
    """Correlate two maps, counting only as many pixels as are independent.

    Neighbouring pixels of a map know nearly the same, so that two smooth maps which have nothing in common correlate
    by chance; a test that counts each pixel calls that significant in most cases.

    Parameters
    ----------
    a, b : DataArray
        On the same uniform grid, of any of the dims z, y, x; or `b` on a grid of its own, from which it is resampled.
    where : DataArray of bool, optional
        Pixels to use, on the grid of `a`.
    transform : Affine, optional
        Maps coordinates of `b` to those of `a`. Left out, it is what the two poses say where they lead to one frame;
        maps without them lie on each other. Its covariance widens the interval: 100 positions within the error are
        tried. The p-value needs none of that: between independent fields it holds at any position.
    errors : Dataset, optional
        The dataset that holds the standard errors which `a` and `b` name in ``ancillary_variables``; with it
        ``corrected`` is given.
    test : {"effective", "surrogate", "none"}
        ``"effective"``: Student's t with the effective number of pixels. ``"surrogate"``: the share of `draws` random
        fields with the power spectrum of `a` that correlate with `b` as much; a second opinion. ``"none"``: `r` alone,
        which needs none of the Fourier transforms that cost time and memory on a large volume.
    draws, seed : int
        Number of random fields, and the seed of their generator.

    Returns
    -------
    Correlation

    Raises
    ------
    DataError
        If the grids differ and nothing says how they lie to each other, an axis is not uniform, fewer than three pixels
        are left, a map does not vary over them, `errors` are given beside a transform, or `test` is unknown.

    Notes
    -----
    Effective number: P. Dutilleul, Biometrics 49, 305 (1993), after P. Clifford, S. Richardson and D. Hémon, Biometrics
    45, 123 (1989). Correction for noise: C. Spearman, Am. J. Psychol. 15, 72 (1904). Share of surrogates: B. Phipson
    and G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010). Positions: R. L. Berger and D. D. Boos, J. Am. Stat.
    Assoc. 89, 1012 (1994).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.arange(40.0), np.arange(50.0)
    >>> a = xr.DataArray(rng.normal(size=(40, 50)), {"y": y, "x": x})
    >>> found = correlation(a, a + rng.normal(size=a.shape))
    >>> round(found.r, 1), found.p < 1e-6, found.pixels
    (0.7, True, 2000)
    """
    transform = relation(b, a) if transform is None else transform
    if transform is not None and errors is not None:
        raise DataError("errors= is for maps on one grid without a transform; fusion.resample carries them onto one")
    moved = b if transform is None else _moved(b, a, transform)
    first, second, used = _common(a, moved, where)
    if test not in _TESTS:
        raise DataError(f"test={test!r}; accepted are {', '.join(map(repr, _TESTS))}")
    x, y = (_centred(values, used) for values in (first, second))
    r = _pearson(x, y)
    n_effective = float("nan") if test == "none" else spatial.effective_number(x, y, used)
    enough = n_effective >= LEAST
    p = np.nan
    if enough and test == "effective":
        p = _student(r, n_effective)
    elif enough and test == "surrogate":
        p = _surrogate(r, x, y, used, draws, seed)
    least, largest = (r, r) if transform is None or not enough else _at_positions(a, b, where, transform, seed)
    low, high = _interval(least, largest, n_effective) if enough else (np.nan, np.nan)
    corrected = r / np.sqrt(_reliability(a, x, used, errors) * _reliability(b, y, used, errors))
    verdict = f"r = {r:.2f}, not tested" if test == "none" else _verdict(r, p, low, high, n_effective)
    return Correlation(r, low, high, p, n_effective, int(used.sum()), float(corrected), test, verdict)


def _moved(b: xr.DataArray, a: xr.DataArray, transform: Affine) -> xr.DataArray:
    """Return a map on the grid of another one."""
    return resample(b.to_dataset(name="b"), a.to_dataset(name="a"), transform=transform)["b"].rename(b.name)


def _at_positions(
    a: xr.DataArray, b: xr.DataArray, where: xr.DataArray | None, transform: Affine, seed: int
) -> tuple[float, float]:
    """Return the least and the largest correlation at the positions that a transform allows."""

    def at(position: Affine) -> float:
        first, second, used = _common(a, _moved(b, a, position), where)
        return _pearson(_centred(first, used), _centred(second, used))

    return extremes(at, transform, np.random.default_rng(seed))


# Zeros where a pixel does not count leave sums as they are and let lags be counted by FFT.
def _centred(values: Array, used: Mask) -> Array:
    return np.where(used, values - values[used].mean(), 0.0)


def _pearson(x: Array, y: Array) -> float:
    return float((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()))


def _common(a: xr.DataArray, b: xr.DataArray, where: xr.DataArray | None) -> tuple[Array, Array, Mask]:
    """Return the values of two maps of one grid and the pixels that count."""
    maps = [a, b] if where is None else [a, b, where]
    try:
        maps = list(xr.align(*maps, join="exact"))
    except ValueError as error:
        raise DataError(f"{a.name} and {b.name} lie on different grids; fusion.resample one onto the other") from error
    uneven = [dim for dim in a.dims if a[dim].size > 2 and spacing(a[dim]) is None]
    if uneven:
        raise DataError(
            f"{a.name}: the axes {uneven} are not uniform, so that lags have no length; resample the maps first"
        )
    if any(set(each.dims) != set(a.dims) for each in maps) or not set(a.dims) <= set(SPATIAL):
        dims = [each.dims for each in maps]
        raise DataError(f"maps of the same dims among z, y, x are needed; received {dims}")
    first, second, *mask = (each.transpose(*a.dims).values for each in maps)
    values = [np.asarray(each, dtype=np.float64) for each in (first, second)]
    used = np.isfinite(values[0]) & np.isfinite(values[1])
    if mask:
        used &= mask[0].astype(bool)
    if used.sum() < 3 or any(np.ptp(each[used]) == 0.0 for each in values):
        count = int(used.sum())
        raise DataError(f"no correlation of {a.name} and {b.name}: {count} pixels, or values that do not vary")
    return values[0], values[1], used


# t = r √((n - 2) / (1 - r²)) with n the effective number: under independence and jointly normal fields it follows
# Student's t with n - 2 degrees of freedom, to the accuracy with which n is known.
def _student(r: float, n: float) -> float:
    from scipy.special import stdtr

    if abs(r) >= 1.0:
        return 0.0
    t = abs(r) * np.sqrt((n - 2.0) / (1.0 - r * r))
    return float(2.0 * stdtr(n - 2.0, -t))


# Fisher's z = artanh r has the variance 1 / (n - 3) whatever the correlation is, which that of r has not (R. A. Fisher,
# Metron 1, 3 (1921)). Where the position is in doubt, the interval reaches from that of the least to that of the
# largest r.
def _interval(least: float, largest: float, n: float) -> tuple[float, float]:
    low, high = np.arctanh(np.clip([least, largest], -1.0 + 1e-15, 1.0 - 1e-15))
    half = 1.959964 / np.sqrt(n - 3.0)
    return float(np.tanh(low - half)), float(np.tanh(high + half))


def _surrogate(r: float, x: Array, y: Array, used: Mask, draws: int, seed: int) -> float:
    """Return the share of random fields as smooth as `x` that correlate with `y` as much as `x` does."""
    rng = np.random.default_rng(seed)
    as_large = 0
    # The map itself counts as one of the fields, so that no p is 0 (Phipson and Smyth 2010, eq. 2).
    for field in counted(spatial.random_fields(x, used, draws, rng), "correlate", "random fields", draws):
        as_large += int(abs(_pearson(_centred(field, used), y)) >= abs(r))
    return (1 + as_large) / (1 + draws)


# Independent noise adds its variance to that of a map and nothing to the covariance of two: r is too small by the
# square root of each map's reliability, 1 - noise / total variance (Spearman 1904, eq. 1).
def _reliability(array: xr.DataArray, centred: Array, used: Mask, errors: xr.Dataset | None) -> float:
    name = error_of(array)
    if errors is None or name is None or name not in errors:
        return float("nan")
    noise = float((errors[name].transpose(*array.dims).values[used] ** 2).mean())
    share = 1.0 - noise / float((centred[used] ** 2).mean())
    return share if share > 0.0 else float("nan")


def _verdict(r: float, p: float, low: float, high: float, n_effective: float) -> str:
    if not n_effective >= LEAST:
        return f"field too small: n_eff = {n_effective:.0f}"
    interval = "error of the position unknown" if np.isnan(low) else f"95 % interval {low:.2f} to {high:.2f}"
    figures = f"r = {r:.2f} ({interval}), p = {p:.2g}, n_eff = {n_effective:.0f}"
    return f"correlated: {figures}" if p < 0.05 else f"no correlation shown: {figures}"
