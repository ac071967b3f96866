"""The error of a registration of images: how far apart the answers of its parts are."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fusion.images.measures import Measure
from fusion.images.pictures import Array
from fusion.images.refinement import Motions, refine

_BLOCKS: Final = 8
_PARTS: Final = 16
_FEWEST: Final = 6


class Spread(NamedTuple):
    """Covariance of the upper rows of a matrix, (2, 3) or (3, 4), row by row, and its degrees of freedom."""

    covariance: Array
    dof: float


def spread(measure: Measure, motion: Motions, labels: Array, reach: float) -> Spread | None:
    """Return the error of the transform `motion` starts from; None where too few parts have an answer."""
    # The image is divided into sixteen interleaved parts, each is registered on its own, and the answer of all is as
    # good as a mean of theirs: C = sum (M_k - M)(M_k - M)' / (K (K - 1)), about the answer of all and not their mean.
    # Nothing of it rests on the shape of the measure at its maximum: curvature is ten times too optimistic, because
    # the maximum of a rough function is where it is roughest, and it is so in an estimate from tiles as well. With
    # (K - 1) / (K - 2) and K - 2 degrees of freedom d F(d, dof) is Hotelling's T² of a point in the plane.
    matrices = []
    for label in range(_PARTS):
        rows = np.flatnonzero(labels == label)
        if len(rows):
            matrices.append(motion(refine(measure.part(rows), motion, reach))[:-1].ravel())
    count = len(matrices)
    if count < _FEWEST:
        return None
    apart = np.array(matrices) - motion.start[:-1].ravel()
    covariance = apart.T @ apart / (count * (count - 2))
    # a search for the maximum stops within a hundredth of its first step, also where all parts agree exactly
    dim = len(motion.start) - 1
    covariance[dim :: dim + 1, dim :: dim + 1] += (0.01 * reach) ** 2 * np.eye(dim)
    return Spread(covariance, count - 2.0)


def interleaved(points: Array, energy: Array) -> Array:
    """Return for each point (n,) the part it belongs to: every fourth block of 8 × 8 along both axes; -1 outside."""
    # Blocks hold the same share of the energy each, the weight (n,) of a point in the measure: blocks of equal area
    # would give the empty corner of an image a vote. Neighbours fall into different parts, so that what is correlated
    # over less than three blocks does not make parts agree.
    rows = _shares(points[:, 0], energy)
    columns = np.zeros_like(rows)
    for band in range(_BLOCKS):
        inside = rows == band
        columns[inside] = _shares(points[inside, 1], energy[inside])
    return np.where(energy > 0, (rows % 4) * 4 + columns % 4, -1)


def _shares(position: Array, energy: Array) -> Array:
    """Return in which of eight ranges of equal energy each position lies."""
    order = np.argsort(position, kind="stable")
    share = np.cumsum(energy[order]) / max(float(energy.sum()), 1e-30)
    result = np.empty(len(position), np.intp)
    result[order] = np.minimum((share * _BLOCKS * (1 - 1e-9)).astype(np.intp), _BLOCKS - 1)
    return result
