"""Views moved so that the tilt axis lies along an axis of the image, through its middle."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Motion(NamedTuple):
    """Where each view lies: turned as all are, and shifted.

    Attributes
    ----------
    rotation : float
        Of the tilt axis in the image, in degrees from `along` towards `across`.
    shifts : (views, 2) array
        Across and along the axis in pixels: what lies at q in the aligned view lies at R (q + shift) in the measured
        one, both counted from the middle of the image.
    """

    rotation: float
    shifts: Array


def turning(rotation: float) -> Array:
    """Return the matrix R on (across, along) that takes the axis `along` towards `across`."""
    c, s = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    return np.array([[c, s], [-s, c]])


def moved(views: Array, motion: Motion, *, outside: float = np.nan) -> Array:
    """Return views (view, across, along) at their aligned positions, by cubic interpolation, once."""
    from scipy.ndimage import affine_transform

    matrix = turning(motion.rotation)
    middle = (np.array(views.shape[1:]) - 1) / 2
    out = np.empty(views.shape, np.float32)
    for view, shift, target in zip(views, motion.shifts, out, strict=True):
        start = matrix @ (shift - middle) + middle
        affine_transform(view, matrix, start, target.shape, target, order=3, mode="constant", cval=outside)
    return out
