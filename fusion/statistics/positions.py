"""The least and the largest of a value over the positions that a registration allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine
from fusion.errors import DataError, FrameError
from fusion.frames import OWN, affine_only, between, get_pose

Array = npt.NDArray[np.float64]
_LEVEL: Final = 0.99
_ROUNDS: Final = ((1.0, 40), (1.0 / 3.0, 30), (1.0 / 9.0, 30))
"""How widely positions are drawn, as a share of the error of the registration, and how many."""


def relation(moving: xr.DataArray, fixed: xr.DataArray) -> Affine | None:
    """Return the transform that the poses of two maps state; None where they state none, or the identity exactly.

    An identity whose error is not known counts as exact: channels of one file, which lie on each other.
    """
    frames = get_pose(moving)[1], get_pose(fixed)[1]
    if OWN in frames or frames[0] != frames[1]:
        return None
    transform = affine_only(between(moving.to_dataset(name="moving"), fixed.to_dataset(name="fixed")))
    same = np.allclose(transform.matrix, np.eye(4), rtol=0.0, atol=1e-12)
    return None if same and not transform.is_uncertain else transform


# The union of the intervals at all positions of a confidence region of the registration holds the truth at least as
# often as one of them does, less the 1 % by which the region fails (R. L. Berger and D. D. Boos, J. Am. Stat. Assoc.
# 89, 1012 (1994)). The scatter over draws would not do: a wrong position weakens a correlation, which at the estimate
# is weaker than it is in truth, and weaker still at most draws about the estimate. The region is the ellipsoid
# u'u < χ²(99 %) with t = t̂ + L u and L L' the covariance; draws are narrowed about the least and the largest value.
def extremes(value: Callable[[Affine], float], transform: Affine, rng: np.random.Generator) -> tuple[float, float]:
    """Return the least and the largest value that a function takes over the transforms within the error of one.

    Parameters
    ----------
    value : callable
        Of a transform; NaN where it has none.
    transform : Affine
    rng : Generator

    Returns
    -------
    (float, float)
        NaN where the error of the transform is not known.
    """
    if transform.covariance is None:
        return float("nan"), float("nan")
    from scipy.stats import chi2

    root = _root(transform.covariance) * transform.widening
    limit = float(chi2.ppf(_LEVEL, max(root.shape[1], 1)))
    drawn, values = [np.zeros(root.shape[1])], [value(transform)]
    for spread, number in _ROUNDS if root.size else ():
        best = [drawn[int(choose(values))] for choose in (np.nanargmin, np.nanargmax)]
        for n in range(number):
            centre = best[n % 2] if spread < 1.0 else np.zeros(root.shape[1])
            step: Array = centre + spread * rng.normal(size=root.shape[1])
            if step @ step < limit:
                drawn.append(step)
                values.append(_at(value, transform, root @ step))
    return float(np.nanmin(values)), float(np.nanmax(values))


def _at(value: Callable[[Affine], float], transform: Affine, change: Array) -> float:
    matrix = transform.matrix.copy()
    matrix[:3] += change.reshape(3, 4)
    try:
        return value(Affine.exact(matrix))
    except (DataError, FrameError):
        return float("nan")


def _root(covariance: Array) -> Array:
    """Return L (12, rank) with L L' the covariance; numbers of unlike units are scaled by their own errors first."""
    error = np.sqrt(np.diagonal(covariance))
    scale = np.where(error > 0, error, 1.0)
    variances, directions = np.linalg.eigh(covariance / np.outer(scale, scale))
    free = variances > 1e-9
    return np.asarray(scale[:, None] * directions[:, free] * np.sqrt(variances[free]))
