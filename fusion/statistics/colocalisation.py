"""How much of the light of one channel lies where the other one shines, and whether chance would do as much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.errors import DataError
from fusion.statistics.correlation import Correlation, correlation
from fusion.statistics.positions import relation

Array = npt.NDArray[np.float64]
Limits = tuple[float, float]
Test = Literal["effective", "surrogate"]
_LEVEL: Final = 0.05
_PARTS: Final = 4
_T: Final = 2.131450
"""Student's t of 15 degrees of freedom that 95 % do not exceed, up or down."""


@dataclass(frozen=True)
class Overlap:
    """Manders' coefficient of one channel.

    Parameters
    ----------
    share : float
        Of its light above its own threshold, how much lies where the other channel is above its threshold.
    low, high : float
        95 % interval of the share in the fields of which these are a sample; of simulated fields of spots it holds 87
        to 97 %, least where the spots are four pixels wide and noisy. NaN where the field is too small.
    by_chance : float
        The share to expect of channels that know nothing of each other: that of the pixels in which the other one
        is above its threshold.
    p : float
        Probability of a share as far from that, up or down, between independent channels that are as smooth as these.
        NaN where the field is too small.
    n_effective : float
        Number of independent pixels.
    """

    share: float
    low: float
    high: float
    by_chance: float
    p: float
    n_effective: float


@dataclass(frozen=True)
class Colocalisation:
    """What two channels have in common.

    Parameters
    ----------
    first, second : Overlap
        Of the light of the first channel and of that of the second.
    correlation : Correlation
        Of the two channels over all pixels.
    thresholds : (float, float)
        Of the two channels; NaN where those of Costes do not exist, as are then `first` and `second`.
    verdict : str
        The conclusion in words.
    """

    first: Overlap
    second: Overlap
    correlation: Correlation
    thresholds: Limits
    verdict: str


def colocalisation(
    a: xr.DataArray,
    b: xr.DataArray,
    where: xr.DataArray | None = None,
    *,
    thresholds: Limits | None = None,
    test: Test = "effective",
    draws: int = 999,
    seed: int = 0,
) -> Colocalisation:
    """Measure Manders' coefficients of two channels of fluorescence, and test them against chance.

    Bright and dense channels overlap by chance; shuffled pixels, the usual comparison, are far less smooth than a
    specimen is and call nearly every overlap significant.

    Parameters
    ----------
    a, b : DataArray
        On the same uniform grid, of any of the dims z, y, x; not negative, background taken off.
    where : DataArray of bool, optional
        Pixels to use: those of the cell, since the dark around it makes any two dyes within it overlap.
    thresholds : (float, float), optional
        Above which the channels shine. Left out, those of Costes, which exist only where the channels correlate.
    test : {"effective", "surrogate"}
    draws, seed : int
        As for `correlation`.

    Returns
    -------
    Colocalisation

    Raises
    ------
    DataError
        If the grids or poses differ, an axis is not uniform, a map does not vary, a value is negative, or no pixel or
        every pixel lies above a threshold.

    Notes
    -----
    E. M. M. Manders, F. J. Verbeek and J. A. Aten, J. Microsc. 169, 375 (1993). Thresholds: S. V. Costes et al.,
    Biophys. J. 86, 3993 (2004): the highest point of the line of regression below which the channels do not correlate.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> axes = {"y": np.arange(60.0), "x": np.arange(50.0)}
    >>> red = xr.DataArray(rng.gamma(0.5, size=(60, 50)), axes, name="red")
    >>> found = colocalisation(red, (red + rng.gamma(0.5, size=red.shape)).rename("green"))
    >>> round(found.first.share, 1), round(found.first.by_chance, 1), found.first.p < 1e-6
    (0.9, 0.5, True)
    """
    if relation(b, a) is not None:
        raise DataError(f"{a.name} and {b.name} lie apart by their poses; fusion.resample one onto the other first")
    together = correlation(a, b, where, test=test, draws=draws, seed=seed)
    used = a.notnull() & b.notnull() & (True if where is None else where.astype(bool))
    if min(float(channel.where(used).min()) for channel in (a, b)) < 0:
        raise DataError(f"{a.name}, {b.name}: light is not negative; take off less background, or clip it at 0")
    if thresholds is None:
        if not (together.r > 0 and together.p < _LEVEL):
            none = Overlap(*[float("nan")] * 6)
            verdict = f"no thresholds of Costes, which need a correlation; give thresholds=: {together.verdict}"
            return Colocalisation(none, none, together, (float("nan"), float("nan")), verdict)
        thresholds = costes_thresholds(*(channel.transpose(*a.dims).values[used.values] for channel in (a, b)))
    above = [(channel > limit).where(used) for channel, limit in zip((a, b), thresholds, strict=True)]
    for channel, bright, limit in zip((a, b), above, thresholds, strict=True):
        if bright.min() == bright.max():
            extent = "every pixel lies" if bright.max() else "no pixel lies"
            raise DataError(f"{channel.name}: {extent} above the threshold {limit:.4g}; give thresholds=")
    first, second = (
        _overlap(channel * own, other, test, draws, seed) for channel, own, other in ((a, *above), (b, *above[::-1]))
    )
    return Colocalisation(first, second, together, thresholds, _verdict(first, second))


# With A the light of a channel above its threshold, 0 elsewhere, and B = 1 where the other one is above its own,
# Manders' M = Σ A B / Σ A = mean(B) (1 + r s(A) s(B) / (mean(A) mean(B))), r being Pearson's and s standard deviations.
# Under independence M is r in other words, and the test of r is that of M.
def _overlap(light: xr.DataArray, other: xr.DataArray, test: Test, draws: int, seed: int) -> Overlap:
    found = correlation(light, other, test=test, draws=draws, seed=seed)
    share = float((light * other).sum() / light.sum())
    half = _T * _jackknife(light.fillna(0.0).values, other.fillna(0.0).values)
    low, high = (max(share - half, 0.0), min(share + half, 1.0)) if np.isfinite(found.p) else (np.nan, np.nan)
    return Overlap(share, low, high, float(other.mean()), found.p, found.n_effective)


# Fisher's interval of r would hold M in 37 to 69 of 100 cases where light comes in spots. Instead the field is cut into
# 4 x 4 parts across its two longest axes, larger than a spot, and M taken without one of them at a time:
# s² = 15/16 Σ (M₋ₖ - mean)² (J. W. Tukey, Ann. Math. Stat. 29, 614 (1958)), with 15 degrees of freedom.
def _jackknife(light: Array, other: Array) -> float:
    """Return the standard error of the share of light."""
    rows, columns = sorted(np.argsort(light.shape)[-2:])
    quarters = [np.arange(size) * _PARTS // size for size in light.shape]
    part = np.zeros(light.shape, dtype=np.intp)
    for axis, factor in ((rows, _PARTS), (columns, 1)):
        part += factor * np.expand_dims(quarters[axis], [k for k in range(light.ndim) if k != axis])
    both, alone = (np.bincount(part.ravel(), each.ravel(), _PARTS**2) for each in (light * other, light))
    without = (both.sum() - both) / (alone.sum() - alone)
    return float(np.sqrt((1.0 - 1.0 / _PARTS**2) * ((without - without.mean()) ** 2).sum()))


# The line b = s a + c of least squared distance from it: errors of both channels count alike, as with a regression of
# one on the other they would not. From the top down, the threshold is where the pixels that are below it in either
# channel cease to correlate (Costes et al. 2004); r falls with the threshold, so that halving the interval finds it.
def costes_thresholds(a: Array, b: Array) -> Limits:
    """Return the thresholds of two correlated channels below which they do not correlate.

    Examples
    --------
    >>> shared = np.where(np.arange(1000) % 10 == 0, 5.0, 0.0)
    >>> noise = np.random.default_rng(0).uniform(0.0, 1.0, (2, 1000))
    >>> low, high = costes_thresholds(shared + noise[0], shared + noise[1])
    >>> bool(0.5 < low < 5.1)
    True
    """
    _, vectors = np.linalg.eigh(np.cov(a, b))
    slope = float(vectors[1, 1] / vectors[0, 1])
    constant = float(b.mean() - slope * a.mean())
    low, high = float(a.min()), float(a.max())
    for _ in range(30):
        middle = (low + high) / 2.0
        below = (a < middle) | (b < slope * middle + constant)
        x, y = (each[below] - each[below].mean() for each in (a, b))
        low, high = (low, middle) if float(x @ y) > 0.0 else (middle, high)
    return low, slope * low + constant


def _verdict(first: Overlap, second: Overlap) -> str:
    figures = ", ".join(
        f"M{n} = {each.share:.2f} (by chance {each.by_chance:.2f}, p = {each.p:.2g})"
        for n, each in enumerate((first, second), 1)
    )
    if np.isnan([first.p, second.p]).any():
        return f"field too small: n_eff = {min(first.n_effective, second.n_effective):.0f}; {figures}"
    if max(first.p, second.p) >= _LEVEL:
        return f"no colocalisation shown: {figures}"
    return f"{'colocalised' if first.share > first.by_chance else 'apart'}: {figures}"
