"""Registration of points whose partners are not known: particles, localisations, with points missing on either side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine
from fusion.errors import RegistrationError
from fusion.progress import counted
from fusion.registration.fit import closed_form
from fusion.registration.landmarks import register_landmarks
from fusion.registration.pairs import Landmarks, Pairs, positions
from fusion.registration.result import Registration

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
PointModel = Literal["rigid", "similarity"]
REACH: Final = 4.0
"""Standard deviations within which a mapped point must lie of its partner."""
_SCALES: Final = (0.2, 5.0)
_BASES: Final = 400
_ROWS: Final = 1 << 21
_FIRST: Final = 40
"""Points on which all transforms of a base are judged first."""
_SCORED: Final = 300
"""Points on which the better ones are judged then."""
_BETTER: Final = 200
_REFINED: Final = 3
_MISSED: Final = 1e-4
"""Probability that the search ends before it has met a base of true points."""
_FALSE_ALARMS: Final = 0.01
_RIVAL: Final = 0.9
"""Share of the pairs of the best transform at which another one makes it ambiguous."""


@dataclass(frozen=True)
class PointRegistration(Registration[Affine]):
    """A transform between two sets of points, and which of one is which of the other.

    Attributes
    ----------
    pairs : DataArray, dims (point, side)
        Rows of `moving` and of `fixed` that belong together; residuals and the like are of these.
    false_alarms : float
        How many transforms that pair as many points are expected in two sets without anything in common.
    rival : int
        How many pairs the next best transform makes that shares no more than half of these.
    """

    pairs: xr.DataArray = field(default_factory=lambda: xr.DataArray(np.empty((0, 2), int), dims=("point", "side")))
    false_alarms: float = np.nan
    rival: int = 0


class Match(NamedTuple):
    """Rows of moving and fixed (k, 2), the expected number of false alarms, and the pairs of the next best."""

    pairs: Indices
    false_alarms: float
    rival: int


def register_points(
    moving: Landmarks, fixed: Landmarks, *, sigma: float, model: PointModel = "rigid"
) -> PointRegistration:
    """Bring two sets of points together whose order is not known and of which some have no partner.

    Parameters
    ----------
    moving, fixed : array_like (n, 3) or (n, 2), or Dataset with coordinates z, y, x along ``point``
        Particles or localisations in um, z, y, x; two columns (y, x) for points within a plane,
        as are those of one z.
    sigma : float
        Standard deviation in um of fixed minus moving of one point along one axis.
    model : {"rigid", "similarity"}
        Rotation and shift, or these and one scale between 0.2 and 5; any angle.

    Returns
    -------
    PointRegistration
        With the covariance of the transform, as `fusion.register_landmarks` states it for these pairs.

    Raises
    ------
    RegistrationError
        If so many pairs are to be expected by chance, or another transform pairs nearly as many points.

    Notes
    -----
    Pairs of points (triples in space) that are congruent on both sides give transforms; the one that brings most
    points within 4 sigma of a partner is refined. It is accepted if less than 0.01 as good are expected of points
    without anything in common: Moisan and Stival, Int. J. Comput. Vis. 57, 201 (2004).

    Examples
    --------
    >>> points = np.random.default_rng(0).uniform(0.0, 50.0, (20, 2))
    >>> turned = points[::-1] @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 100.0
    >>> found = register_points(points[:15], turned[:18], sigma=0.1)
    >>> len(found.pairs), round(found.transform.angle, 6)
    (13, 90.0)
    """
    if model not in get_args(PointModel):
        raise RegistrationError(f"unknown model {model!r}; points without order take {', '.join(get_args(PointModel))}")
    source, target = _within_plane(positions(moving, "moving"), positions(fixed, "fixed"))
    match = matched(source, target, sigma, model)
    rows, columns = match.pairs.T
    found = register_landmarks(source[rows], target[columns], model=model, sigma=sigma, outliers="keep")
    names = {"side": ["moving", "fixed"]}
    pairs = xr.DataArray(match.pairs, dims=("point", "side"), coords=names, name="pairs")
    known = {each.name: getattr(found, each.name) for each in fields(Registration)}
    return PointRegistration(**known, pairs=pairs, false_alarms=match.false_alarms, rival=match.rival)


def _within_plane(source: Array, target: Array) -> tuple[Array, Array]:
    """Return the points without their z if it is the same of all: they say nothing of a tilt."""
    if source.shape[1] == 2 or target.shape[1] == 2 or np.ptp(np.concatenate([source, target])[:, 0]) > 0:
        return source, target
    return source[:, 1:], target[:, 1:]


def matched(source: Array, target: Array, sigma: float, model: PointModel) -> Match:
    """Return which moving points are which fixed ones, in the order of the moving ones.

    Raises
    ------
    RegistrationError
        As `register_points`.
    """
    dim = source.shape[1]
    if target.shape[1] != dim:
        raise RegistrationError(f"moving points have {dim} columns, the fixed ones {target.shape[1]}")
    if not sigma > 0:
        raise RegistrationError(f"sigma is a positive standard deviation in um; received {sigma!r}")
    if min(len(source), len(target)) < dim + 1:
        raise RegistrationError(f"at least {dim + 1} points of each side are needed; received {len(source)} moving and "
                                f"{len(target)} fixed")  # fmt: skip
    best, rival = _searched(source, target, sigma, model)
    alarms = _false_alarms(best, source, target, model)
    if alarms > _FALSE_ALARMS:
        raise RegistrationError(
            f"only {len(best)} of {min(len(source), len(target))} points find a partner within {REACH:g} sigma, and as "
            f"many would by chance ({alarms:.2g} such transforms are expected); more points, or a smaller sigma, decide"
        )
    if rival >= _RIVAL * len(best):
        raise RegistrationError(
            f"two ways to pair the points do equally well ({len(best)} and {rival} pairs); add points off the symmetry"
        )
    return Match(best[np.argsort(best[:, 0])], alarms, rival)


def _searched(source: Array, target: Array, sigma: float, model: PointModel) -> tuple[Indices, int]:
    """Return the best pairs (k, 2), and the number of those of the best other transform."""
    best, rival = np.empty((0, 2), np.intp), 0
    for tried, base in enumerate(counted(_bases(source), "register points", "trials", _BASES), 1):
        for matrix in _hypotheses(source, target, base, sigma, model):
            pairs = _partners(source, target, matrix, sigma, model)
            same = _share(pairs, best)
            if len(pairs) > len(best):
                # a better way to pair points takes the place of one that shares most of its pairs, and beats any other
                best, rival = pairs, (rival if same else max(rival, len(best)))
            elif not same:
                rival = max(rival, len(pairs))
        # a base is true where all its points have partners: a share w of the points makes that w^d
        true = (len(best) / len(source)) ** source.shape[1]
        if true > 0 and tried > np.log(_MISSED) / np.log1p(-min(true, 1.0 - 1e-9)):
            break
    return best, rival


def _bases(source: Array) -> Iterator[Indices]:
    """Yield points, two in a plane and three in space, at random and always the same: the widest of five draws."""
    rng, dim = np.random.default_rng(0), source.shape[1]
    for _ in range(_BASES):
        draws = [np.asarray(rng.choice(len(source), dim, replace=False)) for _ in range(5)]
        widths = [_narrowest(source[rows]) for rows in draws]
        yield draws[int(np.argmax(widths))]


def _narrowest(base: Array) -> float:
    return float(min(np.linalg.norm(base - np.roll(base, 1, axis=0), axis=1)))


def _hypotheses(source: Array, target: Array, base: Indices, sigma: float, model: PointModel) -> Iterator[Array]:
    """Yield the transforms that take a base to congruent fixed points and bring most points near one."""
    # The sides of a base differ from those of its partner by sqrt(2) sigma, for the errors of both ends. A transform
    # from so few points is off by several sigma far from them: points are counted within twice the final reach.
    from fusion.registration import _points_kernels as kernels

    scales = np.array(_SCALES if model == "similarity" else (1.0, 1.0))
    matrices = _transforms(source[base], target[_congruent(source[base], target, REACH * sigma, scales)], model)
    ascending = np.ascontiguousarray(target[np.argsort(target[:, 0])])
    shuffled = np.ascontiguousarray(source[np.random.default_rng(1).permutation(len(source))])
    for points, most in ((_FIRST, _BETTER), (_SCORED, _REFINED)):
        found = np.zeros(len(matrices), np.int64)
        kernels.scores(matrices, shuffled[:points], ascending, 2.0 * REACH * sigma, found)
        matrices = matrices[np.argsort(-found, kind="stable")[:most]]
    yield from matrices


def _congruent(base: Array, target: Array, tolerance: float, scales: Array) -> Indices:
    """Return the rows (k, d) of fixed points that lie to one another as a base does."""
    from fusion.registration import _points_kernels as kernels

    rows = np.empty((1 << 12, len(base)), np.int64)
    while (count := kernels.congruent(base, target, tolerance, scales, rows)) > len(rows):
        if count > _ROWS:
            raise RegistrationError(
                f"{len(target)} fixed points have {count} places congruent to {len(base)} moving ones, more than "
                f"{_ROWS}: give a smaller sigma, or fewer points (the brightest, or those of a part)"
            )
        rows = np.empty((count, len(base)), np.int64)
    return np.asarray(rows[:count])


def _transforms(base: Array, partners: Array, model: PointModel) -> Array:
    """Return the least-squares transforms (k, d, d + 1) of one base to many partners (k, d, d), all at once."""
    # Umeyama (1991), as `closed_form`, over a stack
    start, end = base - base.mean(axis=0), partners - partners.mean(axis=1, keepdims=True)
    left, singular, right = np.linalg.svd(end.swapaxes(1, 2) @ start)
    signs = np.ones_like(singular)
    signs[:, -1] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    linear = (left * signs[:, None]) @ right
    if model == "similarity":
        linear = linear * ((singular * signs).sum(axis=1) / (start**2).sum())[:, None, None]
    shift = partners.mean(axis=1) - linear @ base.mean(axis=0)
    return np.ascontiguousarray(np.concatenate([linear, shift[:, :, None]], axis=2))


def _partners(source: Array, target: Array, matrix: Array, sigma: float, model: PointModel) -> Indices:
    """Return the pairs within reach under a transform, each point the nearest of the other, after refits to all."""
    from scipy.spatial import cKDTree

    tree, rows, columns = cKDTree(target), np.empty(0, np.intp), np.empty(0, np.intp)
    for reach in (2.0 * REACH, 1.5 * REACH, REACH, REACH):
        mapped = source @ matrix[:, :-1].T + matrix[:, -1]
        distance, nearest = tree.query(mapped, distance_upper_bound=reach * sigma)
        rows = np.flatnonzero(np.isfinite(distance))
        # of several that are nearest to one point, the nearest
        rows = rows[np.argsort(distance[rows])]
        rows = rows[np.unique(nearest[rows], return_index=True)[1]]
        columns = nearest[rows]
        if len(rows) <= source.shape[1]:
            break
        matrix = closed_form(_equal(source[rows], target[columns]), model)[:-1]
    return np.column_stack([rows, columns])


def _equal(source: Array, target: Array) -> Pairs:
    unit = np.broadcast_to(np.eye(source.shape[1]), (len(source), source.shape[1], source.shape[1]))
    return Pairs(source, target, 0.0 * unit, unit, True, source.shape[1], 0.0)


def _share(pairs: Indices, best: Indices) -> bool:
    """Whether two ways to pair points have most pairs in common."""
    same = set(map(tuple, pairs.tolist())) & set(map(tuple, best.tolist()))
    return len(same) > min(len(pairs), len(best)) / 2


def _false_alarms(pairs: Indices, source: Array, target: Array, model: PointModel) -> float:
    """Return how many transforms are expected to pair points as well that have nothing in common."""
    # A point that falls anywhere in the box of the fixed points comes within a distance of one with probability q. Of
    # n points, d make the transform; the others come so near as often as the binomial distribution says, for each base
    # that could have been tried and each of n distances, of which the most telling counts: the k-th smallest residual,
    # for every k (Moisan and Stival 2004, eq. 5).
    from scipy.special import bdtrc, comb, gammaln, perm

    (count, dim), (rows, columns) = source.shape, pairs.T
    if len(pairs) <= dim:
        return np.inf
    matrix = closed_form(_equal(source[rows], target[columns]), model)
    mapped = source[rows] @ matrix[:-1, :-1].T + matrix[:-1, -1]
    apart = np.sort(np.linalg.norm(target[columns] - mapped, axis=1))[dim:]
    volume = np.prod(np.ptp(target, axis=0)[:, None] + 2.0 * apart, axis=0)
    ball = np.pi ** (dim / 2.0) / np.exp(gammaln(dim / 2.0 + 1.0)) * apart**dim
    q = -np.expm1(-len(target) * ball / volume)
    tests = comb(count, dim) * perm(len(target), dim)
    near = np.arange(dim + 1, len(pairs) + 1)
    return float(count * tests * bdtrc(near - dim - 1, count - dim, q).min())
