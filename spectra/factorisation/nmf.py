"""Non-negative factors of a matrix: coordinate descent with extrapolated steps."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fusion.progress import counted
from spectra.factorisation.factors import Factors, singular
from spectra.factorisation.sparse import Array, Matrix, entries

_ROUNDS: Final = 2000
_TOLERANCE: Final = 1e-12
"""Share of the residual by which a round must lower it."""
_ROUNDING: Final = 1e-14
_SWEEPS: Final = 6
"""Most sweeps over the components for one product with the matrix, which costs as much as many of them."""
_SETTLED: Final = 1e-2
_STEP: Final = 0.5
_LONGER: Final = 1.05
_BOUND_LONGER: Final = 1.01
_SHORTER: Final = 1.5


def nonnegative(matrix: Matrix, components: int, seed: int, start: str = "nndsvd") -> Factors:
    """Return the non-negative factors of a matrix, by accelerated coordinate descent.

    Each factor in turn is updated component by component (HALS), in several sweeps for one product with the matrix;
    then both are extrapolated by a share of their last step, which grows as long as the residual falls. It ends where
    a round lowers the residual by less than 1e-12 of it.

    Parameters
    ----------
    matrix : array or csr_array, (row, column)
        Not negative.
    components : int
    seed : int
    start : {"nndsvd", "random"}
        From the singular vectors, or from random numbers.

    References
    ----------
    N. Gillis and F. Glineur, Neural Comput. 24, 1085 (2012): several sweeps. A. M. S. Ang and N. Gillis, Neural
    Comput. 31, 417 (2019), algorithm 3: extrapolation. C. Boutsidis and E. Gallopoulos, Pattern Recognit. 41, 1350
    (2008): the start.

    Examples
    --------
    >>> result = nonnegative(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), 2, seed=0)
    >>> (result.scores @ result.factors).round(6), result.converged
    (array([[1., 0.],
            [2., 0.],
            [0., 3.]]), True)
    """
    # Minimises ‖D − A E‖² = ‖D‖² − 2⟨D Eᵀ, A⟩ + ⟨Aᵀ A, E Eᵀ⟩, which needs only products of small matrices.
    # Multiplicative updates (Lee and Seung) cost as much for a round and need many times more of them. Where an
    # extrapolation made the residual rise, the next round starts at the factors themselves and the step is cut.
    square = float((entries(matrix) ** 2).sum())
    scores, factors = _start(matrix, components, seed) if start == "nndsvd" else _random(matrix, components, seed)
    ahead = scores, factors
    step, bound, last = _STEP, 1.0, np.inf
    for _ in counted(range(_ROUNDS), "factorise", "rounds"):
        before = scores, factors
        scores = _swept(ahead[0], ahead[1] @ ahead[1].T, (matrix @ ahead[1].T).T)
        onward = scores + step * (scores - before[0])
        inner, right = onward @ onward.T, (matrix.T @ onward.T).T
        factors = _swept(ahead[1], inner, right)
        residual = square - 2 * (right * factors).sum() + (inner * (factors @ factors.T)).sum()
        if abs(last - residual) <= _TOLERANCE * residual + _ROUNDING * square:
            return Factors(scores.T, factors)
        if residual > last:
            ahead, bound, step = (scores, factors), step, step / _SHORTER
        else:
            ahead = onward, factors + step * (factors - before[1])
            step, bound = min(bound, _LONGER * step), min(1.0, _BOUND_LONGER * bound)
        last = residual
    return Factors(scores.T, factors, converged=False)


def _swept(values: Array, gram: Array, right: Array) -> Array:
    """Return values ≥ 0, (component, n), that lower ½ x G x − b x in each column, one component after the other."""
    # With all other components held, the minimum over one is x_k + (b_k − Σ G_kl x_l) / G_kk, cut off at zero; exact,
    # and the product with the data, b, stays the same for all sweeps.
    solution, first = np.maximum(values, 0.0), 0.0
    curvature = np.diag(gram)
    for sweep in range(_SWEEPS):
        moved = 0.0
        for own in np.flatnonzero(curvature > 0):
            new = np.maximum(solution[own] + (right[own] - gram[own] @ solution) / curvature[own], 0.0)
            moved += float(((new - solution[own]) ** 2).sum())
            solution[own] = new
        first = moved if sweep == 0 else first
        if moved <= _SETTLED * first:
            break
    return solution


def _start(matrix: Matrix, components: int, seed: int) -> tuple[Array, Array]:
    """Return of each pair of singular vectors the larger of the positive and the negative parts; (component, n)."""
    # The best non-negative rank-one part of s u vt is σ u₊ v₊ᵀ or σ u₋ v₋ᵀ, whichever is larger.
    principal = singular(matrix, components, seed)
    scores, factors = principal.scores.T, principal.factors
    sides = [(np.maximum(sign * scores, 0.0), np.maximum(sign * factors, 0.0)) for sign in (1.0, -1.0)]
    sizes = [np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1) for left, right in sides]
    positive = (sizes[0] >= sizes[1])[:, None]
    left, right = (np.where(positive, one, other) for one, other in zip(*sides, strict=True))
    # both of one length, so that a step means the same to either
    balance = np.sqrt(_lengths(right) / _lengths(left))
    return left * balance, right / balance


def _random(matrix: Matrix, components: int, seed: int) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    size = np.sqrt(matrix.mean() / components)
    sides: list[Any] = [size * np.abs(random.standard_normal((components, count))) for count in matrix.shape]
    return sides[0], sides[1]


def _lengths(rows: Array) -> Array:
    """Return the Euclidean norm of each row, (row, 1); 1 for zeros."""
    lengths = np.linalg.norm(rows, axis=1)[:, None]
    return np.where(lengths > 0, lengths, 1.0)
