"""Which pairs of landmarks do not fit the others, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.errors import RegistrationError
from fusion.registration.fit import Fit, closed_form, distances, fewest, fit
from fusion.registration.pairs import Pairs
from fusion.registration.result import Model

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
ACCUSED: Final = 0.002
"""Probability that any pair of a right set is accused: each pair is tested at this over their number (Bonferroni)."""
_MOST: Final = 800
_SHUFFLES: Final = 40


class LeftOut(NamedTuple):
    """Of each pair: how far in um it lies from where the others place it, and the probability of more by chance."""

    distance: Array
    p: Array


def left_out(result: Fit, pairs: Pairs) -> LeftOut:
    """Compare each pair with the fit to the others, without fitting again."""
    # With the whitened residual e and the block H of the hat matrix of one pair, its deleted residual is
    # (I - H)^-1 e, and T = e' (I - H)^-1 e is chi-squared with d degrees of freedom. Where sigma is estimated, it is
    # estimated without the pair: (T / d) / ((Q - T) / (dof - d)) is F(d, dof - d), exactly for a linear model
    # (Cook and Weisberg, Residuals and Influence in Regression, 1982, sec. 2.2, for d = 1).
    from scipy.special import chdtrc, fdtrc

    count, dim = result.whitened.shape
    basis = np.linalg.qr(result.design)[0].reshape(count, dim, -1)
    rest = np.eye(dim) - basis @ basis.swapaxes(1, 2)
    certain = np.linalg.eigvalsh(rest)[:, 0] > 1e-6
    rest[~certain] = np.eye(dim)
    deleted = np.linalg.solve(rest, result.whitened[..., None])[..., 0]
    square = (result.whitened * deleted).sum(axis=1)
    spread = np.linalg.norm(result.residuals, axis=1) / np.maximum(np.linalg.norm(result.whitened, axis=1), 1e-300)
    distance = np.where(certain, np.linalg.norm(deleted, axis=1) * spread, np.nan)
    if pairs.known:
        p = chdtrc(dim, square)
    elif result.dof > dim:
        others = np.maximum((result.chi2 - square) / (result.dof - dim), pairs.rounding)
        p = fdtrc(dim, result.dof - dim, square / dim / others)
    else:
        p = np.full(count, np.nan)
    return LeftOut(distance, np.where(certain, p, np.nan))


def agreeing(pairs: Pairs, model: Model) -> Mask:
    """Return the largest set of pairs that no test tells apart: which ones belong together.

    Two searches, because each fails where the other succeeds: deleting the worst pair again and again, which is misled
    by an exchanged pair, and the consensus of minimal subsets, which is coarse where two points make a subset.
    """
    everything = np.ones(len(pairs), bool)
    searches = _deleted(pairs, model, everything), _consensus(pairs, model)
    justified = [mask for mask in searches if mask.any() and _is_justified(pairs, model, mask)]
    return max(justified, key=lambda mask: (mask.sum(), -_misfit(pairs.take(mask), model)), default=everything)


def _is_justified(pairs: Pairs, model: Model, kept: Mask) -> bool:
    """Whether the pairs left out are beyond chance together, among all sets of as many."""
    # Q of all less Q of those kept is chi-squared with d degrees of freedom for each pair left out; over the variance
    # estimated from those kept it is F.
    from scipy.special import chdtrc, fdtrc

    lost = int((~kept).sum())
    if not lost:
        return False
    rest = fit(pairs.take(kept), model)
    excess, more = max(fit(pairs, model).chi2 - rest.chi2, 0.0), lost * pairs.dim
    if pairs.known:
        p = chdtrc(more, excess)
    elif rest.dof > 0:
        p = fdtrc(more, rest.dof, excess / more / max(rest.chi2 / rest.dof, pairs.rounding))
    else:
        return False
    return bool(p < ACCUSED / comb(len(pairs), lost))


def refuse_unordered(pairs: Pairs, model: Model) -> None:
    """Refuse pairs that fit hardly better than in a random order."""
    if _is_unordered(pairs, model):
        raise RegistrationError(
            "the landmarks fit hardly better than in a random order: moving and fixed are in different orders "
            "(fusion.match_landmarks finds that of rigid sets), or of different specimens"
        )


def _is_unordered(pairs: Pairs, model: Model) -> bool:
    """Whether the pairs fit hardly better than the same landmarks in a random order."""
    rng = np.random.default_rng(0)
    shuffled = (replace(pairs, fixed=pairs.fixed[rng.permutation(len(pairs))]) for _ in range(_SHUFFLES))
    usual = np.median([_square(one, model) for one in shuffled])
    return bool(_square(pairs, model) > 0.25 * usual)


def _square(pairs: Pairs, model: Model) -> float:
    return float((fit_residuals(pairs, closed_form(pairs, model)) ** 2).sum())


def _misfit(pairs: Pairs, model: Model) -> float:
    """Return chi-squared of the fit, infinite where there is none."""
    try:
        return fit(pairs, model).chi2
    except RegistrationError:
        return np.inf


def _deleted(pairs: Pairs, model: Model, kept: Mask) -> Mask:
    """Delete the worst pair while it is beyond chance, then take back those that fit what is left."""
    kept = kept.copy()
    least = fewest(model, pairs.dim, pairs.columns) + 1
    while kept.sum() > least:
        try:
            p = left_out(fit(pairs.take(kept), model), pairs).p
        except RegistrationError:
            return np.zeros(len(kept), bool)
        worst = int(np.argmin(np.where(np.isnan(p), 1.0, p)))
        if not p[worst] < ACCUSED / len(pairs):
            break
        kept[np.flatnonzero(kept)[worst]] = False
    return _taken_back(pairs, model, kept)


def _taken_back(pairs: Pairs, model: Model, kept: Mask) -> Mask:
    for row in np.flatnonzero(~kept):
        trial = kept.copy()
        trial[row] = True
        try:
            p = left_out(fit(pairs.take(trial), model), pairs).p
        except RegistrationError:
            continue
        if not (p < ACCUSED / len(pairs)).any():
            kept = trial
    return kept


def _consensus(pairs: Pairs, model: Model) -> Mask:
    """Return the pairs that agree with the best minimal subset, after tests of each."""
    # The score of a subset is the sum of min(d², c²) over the pairs, d² = r' S^-1 r and c² the 99 % quantile of
    # chi-squared (MSAC; Torr and Zisserman, Comput. Vis. Image Underst. 78, 138 (2000)). Where sigma is not known, it
    # is taken from the median of the best subset (Rousseeuw and Leroy, Robust Regression, 1987, sec. 5.1).
    from scipy.special import chdtri

    least = fewest(model, pairs.dim, pairs.columns)
    if len(pairs) < least + 2:
        return np.zeros(len(pairs), bool)
    squares = np.array([distances(pairs, closed_form(pairs.take(rows), model)) for rows in _subsets(len(pairs), least)])
    scale = 1.0
    if not pairs.known:
        median = np.median(np.sort(squares, axis=1)[:, least:], axis=1).min()
        scale = max(float(median / chdtri(pairs.dim, 0.5)), pairs.rounding)
    # a minimal subset errs as much as the pairs themselves: its own error widens the limit by half again
    limit = 1.5**2 * scale * chdtri(pairs.dim, 0.01)
    best = squares[np.minimum(squares, limit).sum(axis=1).argmin()]
    inside = best < limit
    if inside.sum() < least + 1:
        return np.zeros(len(pairs), bool)
    return _deleted(pairs, model, inside)


def _subsets(count: int, size: int) -> Iterator[npt.NDArray[np.intp]]:
    """Return all subsets, or as many at random, always the same, where there are too many."""
    if comb(count, size) <= _MOST:
        yield from (np.array(rows) for rows in combinations(range(count), size))
    else:
        rng = np.random.default_rng(0)
        yield from (rng.choice(count, size, replace=False) for _ in range(_MOST))


def explained(pairs: Pairs, model: Model, kept: Mask) -> str:
    """Say what is wrong with the pairs that do not fit: exchanged, or too far off."""
    wrong = np.flatnonzero(~kept)
    matrix = fit(pairs.take(kept), model).matrix
    off = np.sqrt((fit_residuals(pairs, matrix)[wrong] ** 2).sum(axis=1))
    names = ", ".join(f"{row} ({distance:.3g} um)" for row, distance in zip(wrong, off, strict=True))
    exchanged = [(a, b) for a, b in combinations(wrong, 2) if _fit_exchanged(pairs, matrix, kept, a, b)]
    if exchanged and len({row for couple in exchanged for row in couple}) == 2 * len(exchanged):
        couples = " and ".join(f"{a} with {b}" for a, b in exchanged)
        return f"landmarks seem to be exchanged: {couples}; put them in one order"
    return f"pairs that lie too far from where the others place them: {names}"


def fit_residuals(pairs: Pairs, matrix: Array) -> Array:
    """Return fixed minus mapped moving landmarks (n, d)."""
    return np.asarray(pairs.fixed - pairs.moving @ matrix[:-1, :-1].T - matrix[:-1, -1])


def _fit_exchanged(pairs: Pairs, matrix: Array, kept: Mask, a: np.intp, b: np.intp) -> bool:
    order = np.arange(len(pairs))
    order[[a, b]] = b, a
    after = distances(replace(pairs, fixed=pairs.fixed[order]), matrix)
    usual = np.median(distances(pairs, matrix)[kept])
    return bool(max(after[a], after[b]) < 30.0 * usual + 1e-18)


def is_mirrored(pairs: Pairs, model: Model) -> bool:
    """Whether a reflection leaves far smaller residuals than any transform of the model."""
    if pairs.columns < pairs.dim:
        return False
    if model == "affine":
        return bool(np.linalg.det(closed_form(pairs, model)[:-1, :-1]) < 0)
    proper = fit_residuals(pairs, closed_form(pairs, model))
    mirrored = fit_residuals(pairs, closed_form(pairs, model, mirrored=True))
    size = float(((pairs.fixed - pairs.fixed.mean(axis=0)) ** 2).sum())
    return float((mirrored**2).sum()) < 0.25 * float((proper**2).sum()) and float((proper**2).sum()) > 1e-9 * size
