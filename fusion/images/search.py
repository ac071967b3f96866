"""All shifts at all angles and scales, by Fourier transforms."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Final, NamedTuple

import numpy as np

from fusion.images.orientation import Orientation, doubled_turn, rotation
from fusion.images.pictures import Array
from fusion.progress import counted

_PEAKS: Final = 3
"""How many shifts are kept at each angle and scale."""


class Scope(NamedTuple):
    """Where a search looks.

    Parameters
    ----------
    linear : ndarray (2, 2)
        The linear map of (y, x) about which it turns and stretches.
    turn : float
        Degrees to either side.
    stretch : float
        Factor up and down.
    overlap : float
        Share of the smaller image that must lie within the other one.
    """

    linear: Array
    turn: float
    stretch: float
    overlap: float


class Peak(NamedTuple):
    """A pose that stands out: its score, and its matrix from moving to fixed, in um."""

    score: float
    matrix: Array


def search(moving: Orientation, fixed: Orientation, linear: Iterable[Array], overlap: float) -> list[Peak]:
    """Return the best shifts for each linear map (2, 2) of the moving picture.

    Parameters
    ----------
    moving, fixed : Orientation
        On square grids; that of the moving picture is brought to the step of the fixed one.
    linear : iterable of ndarray (2, 2)
        Rotations times scales, on (y, x).
    overlap : float
        Share of the smaller picture that must lie in the other one.
    """
    # For a shift t the score is S / sqrt(V) with S = sum Re(f* m) and V = sum |f|² |m|² over what overlaps. Fields
    # without relation have S of mean 0 and variance V / 2, so that the score is in units of chance whatever the
    # overlap: it takes many edges that agree, where a mean (the usual coefficient) is highest where few overlap.
    from scipy.fft import fft2, ifft2, next_fast_len

    step = float(fixed.picture.step[0])
    found = []
    ready: dict[tuple[int, int], tuple[Array, Array, Array]] = {}
    for matrix in counted(linear, "search", "angles and scales"):
        turned, weight, first = _warped(moving, matrix, step)
        shape = tuple(next_fast_len(a + b - 1) for a, b in zip(fixed.values.shape, turned.shape, strict=True))
        if shape not in ready:
            ready[shape] = (
                np.conj(fft2(fixed.values, shape)),
                np.conj(fft2(np.abs(fixed.values) ** 2, shape)),
                np.conj(fft2(fixed.weight, shape)),
            )
        field, power, cover = ready[shape]
        both = fft2(np.abs(turned) ** 2 + 1j * weight, shape)
        summed = ifft2(field * fft2(turned, shape)).real
        # two real correlations in one transform: real and imaginary part of the packed input come apart only for
        # a filter that is real in space, as both are
        spread = ifft2(power * both).real
        area = ifft2(cover * both).imag
        least = overlap * min(float(weight.sum()), float(fixed.weight.sum()))
        score = np.where(area >= least, summed / np.sqrt(np.maximum(spread, 0.01 * spread.max() + 1e-12)), -np.inf)
        for row, column in _highest(score, _PEAKS):
            shift = np.array([row if row < turned.shape[0] else row - shape[0],
                              column if column < turned.shape[1] else column - shape[1]])  # fmt: skip
            # index i of the turned picture lies on index i - shift of the fixed one
            pose = np.eye(3)
            pose[:2, :2] = matrix
            pose[:2, 2] = fixed.picture.origin - shift * step - first
            found.append(Peak(float(score[row, column]), pose))
    return sorted(found, key=lambda peak: -peak.score)


def _warped(moving: Orientation, matrix: Array, step: float) -> tuple[Array, Array, Array]:
    """Return field and weight under a linear map, and where (y, x) in um their first pixel lies after the map."""
    from scipy.ndimage import affine_transform

    mapped = moving.picture.corners @ matrix.T
    low, high = mapped.min(axis=0), mapped.max(axis=0)
    shape = tuple(np.maximum(np.ceil((high - low) / step).astype(int), 1))
    first = moving.picture.centre @ matrix.T - (np.array(shape) - 1) / 2.0 * step
    inverse = np.linalg.inv(matrix)
    pixels = moving.picture.step
    back = inverse * step / pixels[:, None]
    offset = (inverse @ first - moving.picture.origin) / pixels
    kind = {"offset": offset, "output_shape": shape, "order": 1, "mode": "constant"}
    real, imaginary = (affine_transform(part, back, **kind) for part in (moving.values.real, moving.values.imag))
    weight = affine_transform(moving.weight, back, **kind)
    return (real + 1j * imaginary) * doubled_turn(matrix), weight, first


def _highest(score: Array, count: int) -> list[tuple[int, int]]:
    from scipy.ndimage import maximum_filter

    tops = np.flatnonzero((score == maximum_filter(score, 5, mode="wrap")) & np.isfinite(score))
    best = tops[np.argsort(score.ravel()[tops])[::-1][:count]]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(best, score.shape), strict=True)]


def linear_maps(step: float, radius: float, scope: Scope) -> list[Array]:
    """Return rotations and scales so close that the rim of the moving picture, `radius` out, moves by 3 steps."""
    pace = 3.0 * step / radius
    if scope.turn >= 180.0:
        turns = np.linspace(-np.pi, np.pi, int(np.ceil(2 * np.pi / pace)), endpoint=False)
    else:
        turns = _symmetric(np.deg2rad(scope.turn), pace)
    scales = np.exp(_symmetric(np.log(scope.stretch), pace))
    return [scale * rotation(angle) @ scope.linear for scale, angle in product(scales, turns)]


def _symmetric(end: float, pace: float) -> Array:
    """Return numbers from -end to end, 0 among them, no further apart than `pace`."""
    half = int(np.ceil(end / pace))
    return np.linspace(-end, end, 2 * half + 1) if half else np.zeros(1)
