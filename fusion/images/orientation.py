"""The direction of edges as a complex field: what two images of one thing share, whatever their contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fusion.images.pictures import Array, Picture

_SCALE: Final = 1.0
"""Standard deviation in pixels of the Gaussian whose derivative is taken."""


@dataclass(frozen=True)
class Orientation:
    """The doubled direction of the gradient, on the grid of a picture.

    Parameters
    ----------
    values : ndarray (y, x), complex
        Of modulus near 1 at clear edges and near 0 where there are none.
    weight : ndarray (y, x)
        1 where the gradient is known.
    picture : Picture
        The grid.
    """

    values: Array
    weight: Array
    picture: Picture


def orientation(picture: Picture, scale: float = _SCALE) -> Orientation:
    """Return q = (gx + i gy)² / (|g|² + e²), its mean taken off."""
    from scipy.ndimage import gaussian_filter, minimum_filter

    # Squaring the complex gradient doubles its angle, so that an edge from dark to bright and one from bright to dark
    # are the same: Re(q1* q2) = cos 2(φ1 - φ2), the normalised gradient field of Haber and Modersitzki (MICCAI 2006)
    # up to a constant, and with (gx + i gy) instead of its square the orientation correlation of Fitch et al. (BMVC
    # 2002). e is the root mean square of the gradient: noise below it has little say. The mean is what scan lines and
    # other texture of one direction add to every shift alike.
    rows = gaussian_filter(picture.values, scale, order=(1, 0), mode="nearest")
    columns = gaussian_filter(picture.values, scale, order=(0, 1), mode="nearest")
    weight = minimum_filter(picture.weight, 2 * int(np.ceil(2 * scale)) + 1, mode="constant", cval=1.0)
    square = rows**2 + columns**2
    usual = float((square * weight).sum() / max(float(weight.sum()), 1.0))
    field = (columns + 1j * rows) ** 2 / (square + max(usual, 1e-30))
    field = (field - (field * weight).sum() / max(float(weight.sum()), 1.0)) * weight
    return Orientation(field.astype(np.complex64), weight, picture)


def doubled_turn(matrix: Array) -> complex:
    """Return exp(2 i a) of the rotation nearest to a linear map (2, 2) on (y, x); a turns x towards y."""
    turn = complex(matrix[1, 1] + matrix[0, 0], matrix[0, 1] - matrix[1, 0])
    return (turn / abs(turn)) ** 2


def rotation(angle: float) -> Array:
    """Return the matrix on (y, x) that turns x towards y by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]])
