"""Standard errors of abundances and endmembers that were fitted to counts, propagated from the Poisson noise.

Notation: counts D (pixel, channel) are fitted by A E with weights 1 / (n m), n the sum of a pixel and m that of a
channel. With one factor held, the other is linear in the counts, so that its error is exact. What is left are the
rotations A (1 − Δ), (1 + Δ) E, which change the fit only through the entries that the bound holds at zero: these
determine Δ, each with the curvature of the fit and with the noise of its own pixel or channel. How far Δ can move
without any entry turning negative is in `spectra.factorisation.ambiguity`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from spectra.factorisation.least_squares import patterns
from spectra.factorisation.sparse import Array

_SCORE: Final = 1.0
"""Counts of each component that are added to what a variance is taken at. The interval of a Poisson mean is right at
95 % for few counts too where it is that of the score, whose width is that of 1.96² / 4 counts more."""
_FREE: Final = 1e-10
"""Share of the largest curvature below which nothing holds a rotation."""


class Errors(NamedTuple):
    """Standard errors: (pixel, component) of the abundances and (component, channel) of the endmembers."""

    abundance: Array
    endmember: Array


class _Side(NamedTuple):
    """One factor seen from the other: its inverse curvature, and its covariance for a unit of each component."""

    values: Array
    weight: Array
    inverse: Array
    covariance: Array
    turn: Array


def abundance_error(abundance: Array, endmember: Array, weight: Array) -> Array:
    """Return the standard error of abundances that were fitted to counts by weighted least squares.

    The weighted fit of one pixel is linear in its counts d: a = A d with A = (E W Eᵀ)⁻¹ E W and W = diag(1/weight).
    Counts are independent and their variance is their mean, aE at the fit, so cov(a) = A diag(aE) Aᵀ. The
    endmembers are held fixed; errors of the components of one pixel are correlated, and only their square roots of
    the diagonal are returned. Where an abundance is held at zero the value is that of the fit without the bound.

    Parameters
    ----------
    abundance : array, (pixel, component)
        In counts.
    endmember : array, (component, channel)
    weight : array, (channel,)
        Mean spectrum up to a factor, as the Poisson weighting divides by it.

    Returns
    -------
    array, (pixel, component)
        In counts.

    Examples
    --------
    >>> abundance_error(np.array([[100.0]]), np.array([[0.5, 0.5]]), np.ones(2))
    array([[10.]])
    """
    covariance = _linear(endmember, weight)[1]
    variance = abundance @ np.diagonal(covariance, axis1=1, axis2=2)
    return np.sqrt(np.maximum(variance, 0.0))


def fit_errors(abundance: Array, endmember: Array, weight: Array) -> Array:
    """Return `abundance_error` at one count more of each component, so that few counts have the right interval.

    Parameters
    ----------
    abundance : array, (pixel, component)
    endmember : array, (component, channel)
        Such that the product is in counts.
    weight : array, (channel,)

    Returns
    -------
    array, (pixel, component)

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927): the interval of the score.

    Examples
    --------
    >>> fit_errors(np.array([[99.0]]), np.array([[0.5, 0.5]]), np.ones(2))
    array([[10.]])
    """
    return abundance_error(abundance + _SCORE / endmember.sum(axis=1), endmember, weight)


def joint_errors(
    abundance: Array, endmember: Array, pixel: Array, channel: Array, mixing: Array | None = None
) -> Errors:
    """Return the standard errors of both factors of a non-negative decomposition of counts.

    To the error of each factor with the other held fixed that of the rotations between components is added, to
    first order. The scale is fixed by endmembers of unit sum. The bias from the bounds, which moves the components
    outwards by a fraction of the error of a pixel, is not in it; what no entry at zero determines makes an error
    infinite.

    Parameters
    ----------
    abundance : array, (pixel, component)
        In counts, exactly zero where the bound holds them.
    endmember : array, (component, channel)
        Of unit sum, exactly zero where the bound holds them.
    pixel, channel : array, (pixel,), (channel,)
        Sums of the counts, all positive: the Poisson weights.
    mixing : array, (component, component), optional
        Variance of the share of component l (second axis) in the spectrum of k (first) that the bounds leave free; the
        diagonal is not read. Infinite where nothing holds it; where it is finite, errors are.

    Returns
    -------
    Errors
        In counts, and dimensionless.

    Examples
    --------
    >>> errors = joint_errors(np.diag([99.0, 399.0]), np.eye(2), np.array([99.0, 399.0]), np.array([99.0, 399.0]))
    >>> errors.abundance.round(6)
    array([[10.,  1.],
           [ 1., 20.]])
    """
    turn_pixel, turn_channel = _turns(len(endmember))
    sides = (
        _Side(abundance, pixel, *_linear(endmember, channel), turn_pixel),
        _Side(endmember.T, channel, *_linear(abundance.T, pixel), turn_channel),
    )
    covariance, free = _rotations(*sides)
    if mixing is not None:
        variance = mixing[~np.eye(len(endmember), dtype=bool)]
        known = np.isfinite(variance)
        covariance = covariance + np.diag(np.where(known, variance, 0.0))
        free = np.eye(variance.size)[:, ~known]
    own = np.einsum("jl,lkk->kj", endmember.T, sides[1].covariance)
    # a unit sum takes from every channel its share of the error of the sum
    own = own * (1 - 2 * endmember) + endmember**2 * own.sum(axis=1, keepdims=True)
    variances = np.einsum("nl,lkk->nk", abundance + _SCORE, sides[0].covariance), own.T
    errors = [
        np.sqrt(np.maximum(variance, 0.0) + _turned(side, covariance, free))
        for variance, side in zip(variances, sides, strict=True)
    ]
    return Errors(errors[0], errors[1].T)


def separate_errors(abundance: Array, endmember: Array, pixel: Array, channel: Array) -> Errors:
    """Return the standard errors of each factor with the other one held fixed, as in `joint_errors`."""
    own = np.einsum("jl,lkk->kj", endmember.T, _linear(abundance.T, pixel)[1])
    return Errors(np.sqrt(np.einsum("nl,lkk->nk", abundance + _SCORE, _linear(endmember, channel)[1])), np.sqrt(own))


def pixel_errors(abundance: Array, endmember: Array, channel: Array, counts: Array) -> Errors:
    """Return the standard errors where the endmembers are pixels, whose own noise goes into all abundances.

    Parameters
    ----------
    abundance : array, (pixel, component)
        In counts.
    endmember : array, (component, channel)
        Of unit sum.
    channel : array, (channel,)
        Sums of the counts of the channels, all positive.
    counts : array, (component,)
        How many counts each endmember was normalised from.

    Returns
    -------
    Errors
        In counts, and dimensionless.

    Examples
    --------
    >>> pixel_errors(np.array([[100.0]]), np.array([[0.5, 0.5]]), np.ones(2), np.array([96.0])).endmember.round(3)
    array([[0.052, 0.052]])
    """
    covariance = _linear(endmember, channel)[1]
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)
    # the covariance of a unit sum is (diag(e) − e eᵀ) / counts, and P e of the l-th is its unit vector
    passed_on = (diagonal - np.eye(len(counts))) / counts[:, None]
    variance = (abundance + _SCORE) @ diagonal + abundance**2 @ passed_on
    own = (endmember * (1 - endmember) + _SCORE / counts[:, None]) / counts[:, None]
    return Errors(np.sqrt(np.maximum(variance, 0.0)), np.sqrt(own))


def _linear(other: Array, weight: Array) -> tuple[Array, Array]:
    """Return (E W Eᵀ)⁻¹, and for a unit of each component the covariance of a fit to its Poisson noise."""
    # a = x W Eᵀ (E W Eᵀ)⁻¹ is linear in the counts x, whose variance is Σ_l a_l e_l: the sandwich of the estimator with
    # each e_l, kept apart so that any pixel's covariance is a sum over them.
    weighted = other / weight
    inverse = np.linalg.pinv(weighted @ other.T, hermitian=True)
    estimator = inverse @ weighted
    return np.asarray(inverse), np.stack([(estimator * spectrum) @ estimator.T for spectrum in other])


def _turns(count: int) -> tuple[Array, Array]:
    """Return what each off-diagonal Δ does to the abundances and to the endmembers: (component, component, Δ).

    The diagonal of Δ keeps the sums of the endmembers at one: e_k + Σ Δ_kl (e_l − e_k).
    """
    pairs = [(of, to) for of in range(count) for to in range(count) if of != to]
    pixel, channel = np.zeros((2, count, count, len(pairs)))
    for index, (of, to) in enumerate(pairs):
        pixel[of, to, index], pixel[of, of, index] = -1.0, 1.0
        channel[to, of, index], channel[of, of, index] = 1.0, -1.0
    return pixel, channel


def _rotations(pixel: _Side, channel: _Side) -> tuple[Array, Array]:
    """Return the covariance of the rotations, and the directions (Δ, k) that nothing holds.

    An abundance k that is held at zero is turned away from it by Σ a_l Δ_lk, an endmember by Σ Δ_kl e_l.
    """
    count = len(pixel.inverse)
    curvature, noise = np.zeros((2, count, count, count, count))
    every = np.ones(count, bool)
    for side, order in ((pixel, "lamb"), (channel, "albm")):
        for held, rows in patterns(side.values == 0.0):
            if not held.any():
                continue
            metric = np.linalg.pinv(side.inverse[np.ix_(held, held)], hermitian=True)
            own = metric @ side.covariance[:, held][:, :, held] @ metric
            second, third = _moments(side.values[rows], side.weight[rows, None])
            block = np.ix_(*(held if axis in "ab" else every for axis in order))
            curvature[block] += np.einsum(f"lm,ab->{order}", second, metric)
            noise[block] += np.einsum(f"clm,cab->{order}", third, own)
    pairs = np.flatnonzero(~np.eye(count, dtype=bool))
    curvature, noise = (one.reshape(count**2, -1)[np.ix_(pairs, pairs)] for one in (curvature, noise))
    strength, directions = np.linalg.eigh(curvature)
    known = strength > _FREE * max(strength.max(initial=0.0), np.finfo(float).tiny)
    inverse = (directions[:, known] / strength[known]) @ directions[:, known].T
    return inverse @ noise @ inverse, directions[:, ~known]


def _moments(values: Array, weight: Array) -> tuple[Array, Array]:
    """Return Σ v v / w and Σ v v v / w² over rows."""
    count = values.shape[1]
    # divided before they are multiplied: the square of the weight of a faint tail is no number any more
    scaled = values / weight
    products = (scaled[:, :, None] * scaled[:, None, :]).reshape(len(values), -1)
    return scaled.T @ values, (values.T @ products).reshape(count, count, count)


def _turned(side: _Side, covariance: Array, free: Array) -> Array:
    """Return the variance of a factor through the rotations."""
    spread = np.einsum("lkp,pq,mkq->lmk", side.turn, covariance, side.turn, optimize=True)
    variance = np.einsum("nl,nm,lmk->nk", side.values, side.values, spread, optimize=True)
    for direction in free.T:
        # What turns freely has no error, however small the rest is: infinite where the direction moves it at all.
        moved = side.values @ np.einsum("lkp,p->lk", side.turn, direction)
        variance = np.where(np.abs(moved) > _FREE * np.abs(moved).max(initial=0.0), np.inf, variance)
    return np.asarray(np.maximum(variance, 0.0))
