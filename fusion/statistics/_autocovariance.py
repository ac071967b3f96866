"""The covariance of a map with itself at each lag, and what follows from it: bare arrays in, bare arrays out."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_REACH = 0.5
"""Lags up to this share of the field: beyond it few pairs are left, and they are the same pixels again and again."""
_ROUNDS = 3


# The variance of Pearson's r between independent fields with covariance matrices A and B over n pixels is
#     var r = tr(P A P B) / (tr(P A) tr(P B)),   P = I - 1 1ᵀ / n,
# (Dutilleul, Biometrics 49, 305 (1993), eq. 2.4), and n_eff = 1 + 1 / var r is the number of independent pixels of
# which r would scatter as much. With stationary covariances c(lag) and N(lag) pairs of pixels at each lag, the traces
# are sums over lags and one convolution with the mask: O(n log n) instead of the O(n³) of the matrices.
def effective_number(x: Array, y: Array, used: Mask) -> float:
    """Return the effective number of independent pixels for the correlation of two maps.

    Parameters
    ----------
    x, y : array
        Maps less their means over the mask, zero outside.
    used : array of bool

    Returns
    -------
    float
        Never more than the number of pixels.
    """
    count = float(used.sum())
    padded = tuple(2 * size for size in used.shape)
    spectrum = _spectrum(used.astype(np.float64), padded)
    pairs = np.rint(_field(np.abs(spectrum) ** 2, padded))
    a, b = (_autocovariance(values, pairs, count) for values in (x, y))
    inside = tuple(slice(0, size) for size in used.shape)
    sums = [_field(_spectrum(c, padded) * spectrum, padded)[inside][used] for c in (a, b)]
    total = [float((pairs * c).sum()) for c in (a, b)]
    joint = float((pairs * a * b).sum()) - 2.0 * float(sums[0] @ sums[1]) / count + total[0] * total[1] / count**2
    traces = [count * float(c.flat[0]) - t / count for c, t in zip((a, b), total, strict=True)]
    variance = joint / (traces[0] * traces[1])
    return float(min(1.0 + 1.0 / variance, count)) if variance > 0.0 else float("nan")


# ĉ(lag) is the mean product of the pairs at that lag, which are counted by the autocorrelation of the mask; zero
# padding keeps the field from meeting itself at the opposite edge. Subtracting the sample mean takes the variance of
# that mean, Σ N c / n², off every lag; it is put back, a fixed point that three rounds reach.
def _autocovariance(values: Array, pairs: Array, count: float) -> Array:
    products = _field(np.abs(_spectrum(values, pairs.shape)) ** 2, pairs.shape)
    lags = np.meshgrid(*(np.fft.fftfreq(size, 1.0 / size) for size in pairs.shape), indexing="ij", sparse=True)
    near = np.ones(pairs.shape, dtype=bool)
    for lag, size in zip(lags, pairs.shape, strict=True):
        near &= np.abs(lag) <= _REACH * size / 2.0
    near &= pairs > 0
    raw = np.divide(products, pairs, out=np.zeros_like(products), where=near)
    covariance = raw
    for _ in range(_ROUNDS):
        of_mean = max(float((pairs * covariance).sum()) / count**2, 0.0)
        covariance = np.where(near, raw + of_mean, 0.0)
    return covariance


# White noise shaped by the amplitude spectrum of the zero-padded map has the map's autocovariance up to the taper of
# the field's edges. The field is cut from twice its size, since a field that wraps round correlates with itself
# across the edges and its surrogates reject true independence in 22 of 100 cases at ten effective pixels.
def random_fields(x: Array, used: Mask, draws: int, rng: np.random.Generator) -> Iterator[Array]:
    """Yield normal random fields with the power spectrum of a map that is zero outside its mask."""
    padded = tuple(2 * size for size in used.shape)
    amplitude = np.abs(_spectrum(x, padded))
    inside = tuple(slice(0, size) for size in used.shape)
    for _ in range(draws):
        yield _field(_spectrum(rng.normal(size=padded), padded) * amplitude, padded)[inside]


def _spectrum(values: Array, padded: tuple[int, ...]) -> npt.NDArray[np.complex128]:
    return np.fft.rfftn(values, padded, axes=range(values.ndim))


def _field(spectrum: npt.NDArray[np.complexfloating], padded: tuple[int, ...]) -> Array:
    return np.fft.irfftn(spectrum, padded, axes=range(len(padded)))
