"""Non-negative least squares for many right-hand sides at once, and its alternation between two factors (MCR-ALS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.progress import counted
from spectra.factorisation.factors import Factors
from spectra.factorisation.sparse import Array, Matrix, entries

Mask = npt.NDArray[np.bool_]

_ROUNDS: Final = 2000
_TOLERANCE: Final = 1e-6
"""Share of the residual by which a round must lower it."""
_ROUNDING: Final = 1e-12


def nnls(gram: Array, right: Array, total: Array | None = None) -> Array:
    """Return the non-negative least squares solutions of many problems that share their matrix.

    Minimises ½ x G x − b x over x ≥ 0 for each row b, with Σx = total where that is given (fully constrained least
    squares). An active-set method that adds and removes one variable at a time, for all rows together: those with
    the same passive set are solved by one factorisation. The objective falls at each step, so the iteration ends.

    Parameters
    ----------
    gram : array, (component, component)
        E Eᵀ of the endmembers E.
    right : array, (row, component)
        D Eᵀ of the data D.
    total : array, (row,), optional
        What each solution sums to; positive.

    Returns
    -------
    array, (row, component)

    References
    ----------
    C. L. Lawson and R. J. Hanson, Solving Least Squares Problems (SIAM, 1995), chapter 23.
    M. H. Van Benthem and M. R. Keenan, J. Chemom. 18, 441 (2004): many right-hand sides.
    D. C. Heinz and C.-I. Chang, IEEE Trans. Geosci. Remote Sens. 39, 529 (2001): sums of one.

    Examples
    --------
    >>> nnls(np.eye(2), np.array([[3.0, -1.0], [0.5, 0.25]]))
    array([[3.  , 0.  ],
           [0.5 , 0.25]])
    >>> nnls(np.eye(2), np.array([[3.0, -1.0], [0.5, 0.25]]), total=np.ones(2))
    array([[1.   , 0.   ],
           [0.625, 0.375]])
    """
    if total is None:
        # one unit for all, or small ones of very different components would count as rounding
        size = np.sqrt(np.diag(gram))
        size = np.where(size > 0, size, 1.0)
        gram, right = gram / size / size[:, None], right / size
    # Active sets: each row has a passive set of components that are free, the rest is held at zero. The held component
    # with the largest negative gradient (gain) is freed, the free ones are solved for, those that turn negative are
    # held again. A row is done where no held component has a gain: the Karush-Kuhn-Tucker conditions. With a fixed
    # sum, gains are counted from the Lagrange multiplier, which is the gain of every free component.
    solution, passive = _start(gram, right, total)
    least = _ROUNDING * np.abs(right).max(axis=1, initial=0.0)
    open_rows = np.arange(len(right))
    for _ in range(10 * len(gram)):
        gain = right[open_rows] - solution[open_rows] @ gram
        if total is not None:
            gain -= _passive_mean(gain, passive[open_rows])[:, None]
        gain[passive[open_rows]] = -np.inf
        best = gain.argmax(axis=1)
        better = gain[np.arange(best.size), best] > least[open_rows]
        open_rows, best = open_rows[better], best[better]
        if not open_rows.size:
            break
        passive[open_rows, best] = True
        _descend(gram, right, total, solution, passive, open_rows)
    return solution if total is not None else solution / size


def alternating(
    matrix: Matrix, start: Array, total: Array | None = None, rounds: int = _ROUNDS, tolerance: float = _TOLERANCE
) -> Factors:
    """Return non-negative factors by alternating least squares from given spectra (MCR-ALS).

    Parameters
    ----------
    matrix : array or csr_array, (row, column)
    start : array, (component, column)
        Spectra to begin with.
    total : array, (row,), optional
        What the scores of each row sum to (closure).
    rounds : int
    tolerance : float
        The share of the residual by which a round must lower it.

    References
    ----------
    R. Tauler, Chemom. Intell. Lab. Syst. 30, 133 (1995).

    Examples
    --------
    >>> result = alternating(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), np.array([[1.0, 0.1], [0.1, 1.0]]))
    >>> (result.scores @ result.factors).round(6)
    array([[1., 0.],
           [2., 0.],
           [0., 3.]])
    """
    # Each half of a round is an exact solution of its non-negative least squares, so that ‖D − A E‖² never rises.
    square = float((entries(matrix) ** 2).sum())
    factors, scores, last = start, np.zeros((matrix.shape[0], len(start))), np.inf
    for _ in counted(range(rounds), "factorise", "rounds"):
        right = matrix @ factors.T
        scores = nnls(factors @ factors.T, right, total)
        inner = scores.T @ scores
        residual = square - 2 * (scores * right).sum() + (inner * (factors @ factors.T)).sum()
        if last - residual <= tolerance * residual + _ROUNDING * square:
            return Factors(scores, factors)
        last = residual
        factors = nnls(inner, matrix.T @ scores).T
    return Factors(scores, factors, converged=False)


def _start(gram: Array, right: Array, total: Array | None) -> tuple[Array, Mask]:
    """Return a feasible start: nothing, or all on the one component that alone fits best."""
    solution, passive = np.zeros(right.shape), np.zeros(right.shape, bool)
    if total is not None:
        cost = 0.5 * np.diag(gram) * total[:, None] ** 2 - right * total[:, None]
        rows, best = np.arange(len(right)), cost.argmin(axis=1)
        solution[rows, best], passive[rows, best] = total, True
    return solution, passive


def _descend(gram: Array, right: Array, total: Array | None, solution: Array, passive: Mask, rows: Any) -> None:
    """Move some rows to the solution on their passive sets, dropping variables that reach zero on the way."""
    while rows.size:
        now, free = solution[rows], passive[rows]
        target = _solved(gram, right[rows], free, None if total is None else total[rows])
        blocked = free & (target <= 0)
        # no further than to where the first of them reaches zero
        step = np.full(now.shape, np.inf)
        step[blocked] = now[blocked] / np.maximum(now[blocked] - target[blocked], np.finfo(float).tiny)
        length = np.minimum(step.min(axis=1), 1.0)[:, None]
        held = blocked & (step <= length)
        solution[rows] = np.where(held, 0.0, now + length * (target - now))
        passive[rows] = free & ~held
        rows = rows[blocked.any(axis=1)]


def _solved(gram: Array, right: Array, passive: Mask, total: Array | None) -> Array:
    """Return the least squares solution of each row on its passive set."""
    # The unconstrained solution is b G⁻¹; of those with a given sum it is the nearest in the metric G, a shift along
    # G⁻¹ 1 (one Lagrange multiplier). The pseudo-inverse takes endmembers that depend on each other.
    solution = np.zeros(right.shape)
    for pattern, rows in patterns(passive):
        if not pattern.any():
            continue
        inverse = np.linalg.pinv(gram[np.ix_(pattern, pattern)], hermitian=True)
        free = right[np.ix_(rows, pattern)] @ inverse
        if total is not None:
            share = inverse.sum(axis=1) / inverse.sum()
            free += (total[rows] - free.sum(axis=1))[:, None] * share
        solution[np.ix_(rows, pattern)] = free
    return solution


def patterns(mask: Mask) -> Iterator[tuple[Mask, npt.NDArray[np.int64]]]:
    """Yield each different row of a mask with the numbers of the rows that are like it.

    Examples
    --------
    >>> [(pattern.tolist(), rows.tolist()) for pattern, rows in patterns(np.array([[True], [False], [True]]))]
    [([False], [1]), ([True], [0, 2])]
    """
    packed = np.ascontiguousarray(np.packbits(mask, axis=1))
    codes = packed.view(f"V{packed.shape[1]}")[:, 0]
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    for index, rows in zip(first, np.split(order, np.cumsum(np.bincount(inverse))[:-1]), strict=True):
        yield mask[index], rows


def _passive_mean(gain: Array, passive: Mask) -> Array:
    """Return the Lagrange multiplier of the sum: the gain that all passive variables have in common."""
    return np.asarray((gain * passive).sum(axis=1) / passive.sum(axis=1))
