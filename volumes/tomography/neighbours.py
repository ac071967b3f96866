"""A first alignment by neighbours: each view against the one beside it that is tilted less."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from volumes.tomography.common_line import without_gauge
from volumes.tomography.moving import Motion, moved

Array = npt.NDArray[Any]
_FINENESS: Final = 20


# A flat specimen looks shorter across the axis by cos t. Stretched by the ratio of the cosines, neighbours look alike,
# and the peak of their cross-correlation is their shift; shifts are summed from the least tilted view outwards, which
# also sums their errors (Guckenberger, Ultramicroscopy 9, 167 (1982)).
def correlated_motion(views: Array, angles: Array, rotation: float) -> Motion:
    """Return the motion by correlation of neighbours, with the direction of the axis as it is known."""
    from skimage.registration import phase_cross_correlation

    turned = moved(views, Motion(rotation, np.zeros((len(views), 2))), outside=0.0)
    window = np.outer(*(np.hanning(n) for n in turned.shape[1:]))
    first = int(np.abs(angles).argmin())
    shifts = np.zeros((len(views), 2))
    for side in (range(first + 1, len(views)), range(first - 1, -1, -1)):
        before = first
        for k in side:
            ratio = np.cos(np.deg2rad(angles[before])) / max(np.cos(np.deg2rad(angles[k])), 0.05)
            pair = [_centred(turned[before]) * window, _stretched(_centred(turned[k]), ratio) * window]
            lag, *_ = phase_cross_correlation(*pair, upsample_factor=_FINENESS, normalization=None)
            shifts[k] = shifts[before] - lag * [1.0 / ratio, 1.0]
            before = k
    return Motion(rotation, without_gauge(shifts, angles))


def _centred(view: Array) -> Array:
    centred: Array = view - view.mean()
    return centred


def _stretched(view: Array, ratio: float) -> Array:
    from scipy.ndimage import affine_transform

    middle = (view.shape[0] - 1) / 2
    stretched: Array = affine_transform(view, [1.0 / ratio, 1.0], [middle - middle / ratio, 0.0], order=1)
    return stretched
