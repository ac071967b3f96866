"""Where spheres may be: maxima of a filtered image, and of what a fit leaves unexplained."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from volumes.points.sphere_profile import Table

Array = npt.NDArray[np.float64]
_LEAST: Final = 5.0
"""Standard deviations of the noise that a maximum exceeds."""
_MISSED: Final = 4.0
"""Standard deviations of a sphere that a residual shows."""
_SHARE: Final = 0.3
"""Share of the strong maxima's response that a maximum has."""


# The negative Laplacian of a Gaussian of width s responds most to a ball of radius √3 s (Lindeberg, Int. J. Comput.
# Vis. 30, 79 (1998), in three dimensions). A narrower one is used: spheres in touch keep maxima of their own, and noise
# that it lets through is taken out by the fit.
def seeds(image: Array, step: Array, radius: float, blur: tuple[float, float], noise: float) -> Array:
    """Return the positions (n, 3) in um of bright blobs of a radius.

    Parameters
    ----------
    image : array, (z, y, x)
        Less its background.
    step : array, (3,)
        Of the voxels, in um.
    radius : float
        In um.
    blur : (float, float)
        Standard deviations along z and across it, in um.
    noise : float
        Standard deviation of a voxel.
    """
    from scipy.ndimage import gaussian_laplace, maximum_filter

    width = 0.7 * radius / np.sqrt(3.0) / step
    share = min((noise / max(float(np.quantile(image, 0.95)), noise)) ** 2, 1.0)
    response = -gaussian_laplace(_sharpened(image, step[0], blur, share), width, mode="nearest")
    impulse = np.zeros(tuple(2 * np.ceil(4.0 * width + [4.0 * blur[0] / step[0], 0.0, 0.0]).astype(int) + 1))
    impulse[tuple(size // 2 for size in impulse.shape)] = 1.0
    sharp = gaussian_laplace(_sharpened(impulse, step[0], blur, share), width, mode="constant")
    size = 2 * np.floor(0.7 * radius / step).astype(int) + 1
    peaks = response == maximum_filter(response, size, mode="nearest")
    peaks &= response > _LEAST * noise * float(np.linalg.norm(sharp))
    strong = response[peaks]
    if not strong.size:
        return np.zeros((0, 3))
    peaks &= response > _SHARE * np.quantile(strong, 0.9)
    return np.asarray(np.argwhere(peaks) * step)


# Spheres above each other have one maximum where the blur along z is as long as their distance. Wiener's filter,
# W = H (1 + s) / (H² + s) with H the transform of what the blur along z has beyond that across it and s the share of
# the noise, gives them maxima of their own, as far as noise lets it (N. Wiener, Extrapolation, Interpolation, and
# Smoothing of Stationary Time Series (1949)); where the two blurs are equal it is 1.
def _sharpened(image: Array, step: float, blur: tuple[float, float], share: float) -> Array:
    """Return an image whose blur along z is that across it."""
    rim = int(4.0 * blur[0] / step) + 1
    padded = np.pad(image, ((rim, rim), (0, 0), (0, 0)), mode="edge")
    k = 2.0 * np.pi * np.fft.rfftfreq(len(padded), step)
    transfer = np.exp(-0.5 * (blur[0] ** 2 - blur[1] ** 2) * k**2)
    wiener = transfer * (1.0 + share) / (transfer**2 + share)
    sharp = np.fft.irfft(np.fft.rfft(padded, axis=0) * wiener[:, None, None], len(padded), axis=0)
    return np.asarray(sharp[rim:-rim])


def missed(residual: Array, weight: Array, table: Table, step: Array, radius: float) -> tuple[Array, Array]:
    """Return positions (n, 3) in um and brightness of spheres that a residual shows, strongest first.

    They may lie beyond the border of the image, as far as their radius.
    """
    # A sphere at c lowers Σ w r² by (Σ w r S)² / Σ w S², at the brightness (Σ w r S) / Σ w S²: two convolutions with
    # the profile give both at every voxel, and zero weight beyond the border makes the same hold there.
    from scipy.ndimage import maximum_filter
    from scipy.signal import fftconvolve

    from volumes.points._sphere_kernels import draw

    half = np.ceil(table.reach / step).astype(int)
    profile = np.zeros(tuple(2 * half + 1))
    draw(np.array([[*(half * step), 1.0, radius]]), tuple(table), step, profile)
    margin = np.ceil(1.1 * radius / step).astype(int)
    wide = [(int(m), int(m)) for m in margin]
    products = fftconvolve(np.pad(weight * residual, wide), profile, mode="same")
    squares = np.maximum(
        fftconvolve(np.pad(weight, wide), profile**2, mode="same"), 1e-3 * weight.max() * (profile**2).sum()
    )
    gain = np.where(products > 0, products**2 / squares, 0.0)
    size = 2 * np.floor(radius / step).astype(int) + 1
    at = np.argwhere((gain == maximum_filter(gain, size)) & (gain > _MISSED**2))
    order = np.argsort(-gain[tuple(at.T)])
    at = at[order]
    return np.asarray((at - margin) * step), np.asarray((products / squares)[tuple(at.T)])
