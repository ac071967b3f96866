"""Landmarks whose order is not known: which of one set is which of the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from fusion.errors import RegistrationError
from fusion.registration.fit import closed_form
from fusion.registration.pairs import Landmarks, Pairs, positions

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
_BASES: Final = 20
_TRIALS: Final = 400
_REACH: Final = 4.0
"""In standard deviations: how far a mapped landmark may lie from its partner."""


def match_landmarks(moving: Landmarks, fixed: Landmarks, *, sigma: float) -> Indices:
    """Find which moving landmark is which fixed one, for two sets that a rotation and a shift bring together.

    Parameters
    ----------
    moving, fixed : array_like (n, 3) or (n, 2), or Dataset
        As in `fusion.register_landmarks`, in any order; some of either may have no partner.
    sigma : float
        Standard deviation in um of a pair along one axis.

    Returns
    -------
    ndarray (k, 2)
        For each pair the row of `moving` and that of `fixed`.

    Raises
    ------
    RegistrationError
        If fewer than half of the smaller set find a partner, or two ways to pair them do equally well.

    Notes
    -----
    Congruent pairs of landmarks (triples in space) give transforms; the one under which most landmarks have a partner
    within 4 sigma is kept. As the RANSAC of Fischler and Bolles, Commun. ACM 24, 381 (1981), but over all bases of the
    widest landmarks instead of random ones.

    Examples
    --------
    >>> points = np.array([[0.0, 0.0], [9.0, 1.0], [3.0, 7.0], [5.0, -4.0]])
    >>> match_landmarks(points, points[[2, 0, 3, 1]] + 5.0, sigma=0.1).tolist()
    [[0, 1], [1, 3], [2, 0], [3, 2]]
    """
    source, target = positions(moving, "moving"), positions(fixed, "fixed")
    dim = source.shape[1]
    if target.shape[1] != dim:
        raise RegistrationError(f"moving landmarks have {dim} columns, the fixed ones {target.shape[1]}")
    if not sigma > 0:
        raise RegistrationError(f"sigma is a positive standard deviation in um; received {sigma!r}")
    smaller = min(len(source), len(target))
    best, rival = np.empty((0, 2), np.intp), 0
    for base, partners in _congruent(source, target, dim, _REACH * sigma):
        pairs = _partners(source, target, base, partners, sigma)
        if len(pairs) > len(best):
            # a better way to pair them takes the place of one that shares most of its pairs, and beats any other
            rival = rival if _shared(pairs, best) else len(best)
            best = pairs
        elif not _shared(pairs, best):
            rival = max(rival, len(pairs))
    if len(best) < max(dim + 1, smaller / 2):
        raise RegistrationError(f"only {len(best)} of {smaller} landmarks find a partner within {_REACH:g} sigma")
    if rival >= len(best):
        raise RegistrationError(f"two ways to pair the landmarks do equally well ({rival} pairs); add asymmetric ones")
    return best[np.argsort(best[:, 0])]


def _shared(pairs: Indices, best: Indices) -> bool:
    """Whether two ways to pair landmarks have most pairs in common."""
    same = (pairs[:, None] == best[None]).all(axis=2).any(axis=1).sum() if len(best) else 0
    return bool(same > min(len(pairs), len(best)) / 2)


def _congruent(source: Array, target: Array, dim: int, tolerance: float) -> Iterator[tuple[Indices, Indices]]:
    """Yield a pair or triple of moving landmarks, and fixed ones at the same distances from one another."""
    between = np.linalg.norm(source[:, None] - source, axis=2)
    onto = np.linalg.norm(target[:, None] - target, axis=2)

    def width(rows: tuple[int, ...]) -> float:
        return float(min(between[a, b] for a, b in combinations(rows, 2)))

    # A rigid map keeps distances, so only partners as far apart as the base can be its image. Wide bases come first:
    # the error of the turn that they give is sigma over their width.
    for rows in sorted(combinations(range(len(source)), dim), key=width, reverse=True)[:_BASES]:
        base = np.array(rows)
        candidates = np.argwhere(np.abs(onto - between[base[0], base[1]]) < tolerance)
        if dim == 3:
            thirds = (np.abs(onto[candidates[:, 0]] - between[base[0], base[2]]) < tolerance) & (
                np.abs(onto[candidates[:, 1]] - between[base[1], base[2]]) < tolerance
            )
            first, third = np.nonzero(thirds)
            candidates = np.column_stack([candidates[first], third])
        for partners in candidates[:_TRIALS]:
            if len(set(partners.tolist())) == dim:
                yield base, partners


def _partners(source: Array, target: Array, base: Indices, partners: Indices, sigma: float) -> Indices:
    """Return the pairs within reach under the transform of a base, after two refits to all of them."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = base, partners
    for reach in (3.0 * _REACH, 1.5 * _REACH, _REACH):
        if len(rows) < len(base):
            break
        matrix = closed_form(_equal(source[rows], target[columns]), "rigid")
        mapped = source @ matrix[:-1, :-1].T + matrix[:-1, -1]
        apart = np.linalg.norm(mapped[:, None] - target, axis=2)
        limit = reach * sigma
        # Each landmark has one partner at most: the assignment with the smallest sum of distances, each cut off at the
        # limit so that one without a partner costs no more than that and pulls on nobody else (Kuhn, Nav. Res. Logist.
        # Q. 2, 83 (1955)). The limit shrinks as the fit improves.
        rows, columns = linear_sum_assignment(np.minimum(apart, limit))
        near = apart[rows, columns] < limit
        rows, columns = rows[near], columns[near]
    return np.column_stack([rows, columns])


def _equal(source: Array, target: Array) -> Pairs:
    unit = np.broadcast_to(np.eye(source.shape[1]), (len(source), source.shape[1], source.shape[1]))
    return Pairs(source, target, 0.0 * unit, unit, True, source.shape[1], 0.0)
