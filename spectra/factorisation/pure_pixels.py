"""Endmembers that are pixels: the corners of the simplex that mixed spectra fill."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.errors import DataError
from spectra.factorisation.factors import singular
from spectra.factorisation.problem import Problem
from spectra.factorisation.sparse import Array

Indices = npt.NDArray[np.int64]
_SWEEPS: Final = 100


def corners(matrix: Problem, components: int, method: str, seed: int, closure: bool) -> Indices:
    """Return which live pixels are the endmembers.

    Parameters
    ----------
    matrix : Problem
    components : int
        At least 2.
    method : {"nfindr", "vca"}
    seed : int
        Of the directions.
    closure : bool
        Whether the shares of a pixel sum to one as they are; else each spectrum is divided by its sum.

    Raises
    ------
    DataError
        If too few pixels have a positive sum.
    """
    # Mixed spectra lie in a cone; its intersection with the plane of unit sum is a simplex whose corners are the pure
    # spectra. The search runs on the scores of K principal components, which hold it, and not on thousands of channels.
    scores = singular(matrix.matrix, components, seed).scores * matrix.by_pixel[:, None]
    candidates = np.arange(len(scores))
    if not closure:
        total = (matrix.matrix @ matrix.by_channel[:, None])[:, 0] * matrix.by_pixel
        candidates = np.flatnonzero(total > 0)
        if len(candidates) < components:
            raise DataError(f"{len(candidates)} pixels have a positive sum; {components} are needed to be endmembers")
        scores = scores[candidates] / total[candidates, None]
    search = nfindr if method == "nfindr" else vca
    return np.asarray(candidates[search(affine(scores), np.random.default_rng(seed))])


def affine(points: Array) -> Array:
    """Return points on their K − 1 leading principal axes, with a one in front.

    Mixtures of K spectra whose shares sum to one fill a simplex in K − 1 dimensions. The entry farthest out on an axis
    is positive, so that the points do not depend on the signs of singular vectors, which solvers choose at will.

    Parameters
    ----------
    points : array, (point, K)

    Examples
    --------
    >>> affine(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 3.0]])).round(3)
    array([[ 1.   , -1.054],
           [ 1.   , -1.054],
           [ 1.   ,  2.108]])
    """
    centred = points - points.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :0:-1]
    projected = centred @ axes
    farthest = np.abs(projected).argmax(axis=0)
    signs = np.sign(projected[farthest, range(projected.shape[1])])
    return np.hstack([np.ones((len(points), 1)), projected * signs])


def vca(points: Array, random: np.random.Generator) -> Indices:
    """Return the points that are farthest along directions orthogonal to those chosen before.

    Parameters
    ----------
    points : array, (point, K)
        As `affine` returns them.
    random : Generator
        Of the directions.

    References
    ----------
    J. M. P. Nascimento and J. M. Bioucas Dias, IEEE Trans. Geosci. Remote Sens. 43, 898 (2005), for data on a
    hyperplane.

    Examples
    --------
    >>> corners = np.array([[0.0, 0.0], [4.0, 0.0], [1.0, 1.0], [0.0, 4.0]])
    >>> sorted(vca(affine(np.hstack([corners, 4.0 - corners.sum(axis=1, keepdims=True)])), np.random.default_rng(0)))
    [np.int64(0), np.int64(1), np.int64(3)]
    """
    # A linear function on a simplex is largest at a corner. Each random direction is orthogonal to the corners known so
    # far, on which it is zero, so that its extreme is a new one. The one in front is set to the largest distance, which
    # keeps the points on a hyperplane that is far from the origin for their spread.
    count = points.shape[1]
    raised = points.copy()
    raised[:, 0] = np.linalg.norm(points[:, 1:], axis=1).max(initial=0.0) or 1.0
    chosen: list[int] = []
    basis = np.zeros((count, 1))
    basis[0] = 1.0
    for _ in range(count):
        drawn = random.standard_normal(count)
        direction = drawn - basis @ (np.linalg.pinv(basis) @ drawn)
        distance = np.abs(raised @ direction)
        distance[chosen] = -1.0
        chosen.append(int(distance.argmax()))
        basis = raised[chosen].T
    return np.array(chosen)


def nfindr(points: Array, random: np.random.Generator) -> Indices:
    """Return the points that span the largest simplex that no exchange of one corner makes larger.

    Parameters
    ----------
    points : array, (point, K)
        As `affine` returns them.
    random : Generator
        Of the start, which is that of `vca`.

    References
    ----------
    M. E. Winter, Proc. SPIE 3753, 266 (1999).

    Examples
    --------
    >>> points = np.array([[1.0, 0.0], [1.0, -2.0], [1.0, 1.0], [1.0, 3.0]])
    >>> sorted(nfindr(points, np.random.default_rng(0)))
    [np.int64(1), np.int64(3)]
    """
    # The volume of a simplex is |det| / (K − 1)! of its corners with a one in front. As a function of one corner it is
    # linear, so that one product with the cofactors gives the volume for every point in its place.
    chosen = vca(points, random)
    for _ in range(_SWEEPS):
        before = chosen.copy()
        for corner in range(len(chosen)):
            volume = np.abs(points @ _cofactors(points[chosen], corner))
            best = int(volume.argmax())
            if volume[best] > volume[chosen[corner]] * (1 + 1e-12):
                chosen[corner] = best
        if (chosen == before).all():
            break
    return chosen


def _cofactors(corners: Array, row: int) -> Any:
    """Return what a point is multiplied by to give the determinant with it in place of a row."""
    others = np.delete(corners, row, axis=0)
    columns = range(corners.shape[1])
    return np.array([(-1) ** column * np.linalg.det(np.delete(others, column, axis=1)) for column in columns])
