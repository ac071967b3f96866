"""Shapes that are not known exactly: what many counts say of them, and the error that is left."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from spectra.lines.sharing import Precision, solve

Array = npt.NDArray[np.float64]
_ROUNDS: Final = 8


class Doubts(NamedTuple):
    """By what shapes may be off: S(φ) = S (1 + Σ φ_i r_i), over the parameters i that concern a shape."""

    relative: Array
    """The relative change r of a shape, (parameter, channel)."""
    concerns: Array
    """Which shapes a parameter changes, ones and zeros, (parameter, shape)."""

    def applied(self, shapes: Array, parameters: Array) -> Array:
        """Return shapes (shape, channel) with parameters that are not zero."""
        return np.asarray(shapes * (1.0 + (self.concerns * parameters[:, None]).T @ self.relative))

    def counts(self, amounts: Array, shapes: Array) -> Array:
        """Return what a parameter of 1 adds to a model of these amounts, (parameter, channel)."""
        return np.asarray(self.relative * ((self.concerns * amounts) @ shapes))

    def error(self, amounts: Array, shapes: Array, parameters: Array, covariance: Array, weight: Array) -> Array:
        """Return the standard error of fitted amounts (pixel, shape) by the covariance of the parameters."""
        # The estimator of a pixel is linear in its counts, a = A d with A = (S W Sᵀ)⁻¹ S W and S = S(φ). If φ_i is off
        # by δ, the counts are δ Σ x_k r_i s_k more than the model and the amounts δ A Σ x_k r_i s_k, x the amounts.
        # Their variance is a quadratic form in x for each shape, which needs no array of pixels times parameters.
        # Unlike that of counting this error is the same in all pixels: a sum over them does not make it smaller.
        fitted = self.applied(shapes, parameters)
        weighted = fitted / weight
        estimator = np.linalg.pinv(weighted @ fitted.T, hermitian=True) @ weighted
        response = np.stack([(estimator[:, None] * shapes) @ row for row in self.relative], axis=-1) * self.concerns.T
        form = response @ covariance @ response.transpose(0, 2, 1)
        variance = np.einsum("pk,skl,pl->ps", amounts, form, amounts, optimize=True)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


class Adjusted(NamedTuple):
    """A fit to a spectrum of many counts, whose shapes move as far as counts and doubts let them."""

    amounts: Array
    parameters: Array
    covariance: Array
    """Of the amounts and of the parameters after them; zero for amounts at the bound."""
    model: Array


def adjusted(shapes: Array, counts: Array, doubts: Doubts) -> Adjusted:
    """Fit shapes and the parameters of their doubts to one spectrum.

    Parameters
    ----------
    shapes : array, (shape, channel)
    counts : array, (channel,)
    doubts : Doubts
        Of these shapes; parameters are normal deviates of mean 0 and variance 1 before any count is seen.

    Returns
    -------
    Adjusted
    """
    # Minimises Σ (d − m)² / m + |φ|² over amounts x ≥ 0 and parameters φ, m = x S(φ) in counts, by Gauss and Newton: m
    # of the round before stands in the denominator, and in m the product x φ is linear about it. Weights 1 / m are
    # those of Poisson's likelihood at the fixed point; weights 1 / d would favour channels that are low by chance. For
    # each x the best φ has a closed form, which leaves generalised least squares for x alone, with V = diag(m) + Gᵀ G,
    # G the counts that a parameter adds to m. One count at least keeps empty channels finite.
    parameters = np.zeros(len(doubts.relative))
    amounts = solve(shapes, counts, Precision.of(np.maximum(counts, 1.0), shapes[:0]))[0]
    for _ in range(_ROUNDS):
        moved, off = doubts.applied(shapes, parameters), doubts.counts(amounts, shapes)
        precision, target = Precision.of(np.maximum(amounts @ moved, 1.0), off), counts + parameters @ off
        amounts = solve(moved, target, precision)[0]
        parameters = off @ precision((target - amounts @ moved)[None])[0]
    moved, off = doubts.applied(shapes, parameters), doubts.counts(amounts, shapes)
    model = amounts @ moved
    return Adjusted(amounts, parameters, _covariance(moved, off, amounts > 0, model), model)


def _covariance(shapes: Array, off: Array, free: npt.NDArray[np.bool_], model: Array) -> Array:
    # The inverse of the curvature, in which a parameter has that of its prior, 1.
    rows = np.concatenate([shapes, off]) / np.sqrt(np.maximum(model, 1.0))
    curvature = rows @ rows.T + np.diag(np.repeat([0.0, 1.0], [len(shapes), len(off)]))
    kept = np.flatnonzero(np.concatenate([free, np.ones(len(off), bool)]))
    covariance = np.zeros_like(curvature)
    scale = 1.0 / np.sqrt(np.diagonal(curvature)[kept])
    inverse = np.linalg.pinv(curvature[np.ix_(kept, kept)] * scale[:, None] * scale, hermitian=True)
    covariance[np.ix_(kept, kept)] = inverse * scale[:, None] * scale
    return covariance
