"""The factors of a matrix, sparse or dense: leading singular vectors, and non-negative factors."""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple

import numpy as np

from spectra.sparse import Array, Matrix

HYPERSPY: Final = ("SVD", "NMF", "RPCA")
"""Algorithms of HyperSpy, by its names."""

_NMF_ROUNDS: Final = 2000
_NMF_TOLERANCE: Final = 1e-6
_SAME: Final = 1e-9
"""Share of the largest singular value by which two may differ through rounding alone."""
_CHECK_TOLERANCE: Final = 1e-2


class Factors(NamedTuple):
    """Scores (row, component) and factors (component, column), whose product is the model of a matrix."""

    scores: Array
    factors: Array
    converged: bool = True


class _Triplets(NamedTuple):
    """Left vectors (row, k), singular values (k,) and right vectors (k, column)."""

    left: Array
    values: Array
    right: Array


def singular(matrix: Matrix, components: int, seed: int) -> Factors:
    """Return the leading singular vectors of a matrix, the left ones times their values; nothing is centred.

    By Lanczos iterations to machine precision: randomised solvers are degrees off where values lie close. One Krylov
    space holds one vector of several with equal values, as isolated counts have them under Poisson weights; what
    it left out is looked for in the rest of the matrix.

    Parameters
    ----------
    matrix : array or csr_array, (row, column)
    components : int
        At most the smaller side.
    seed : int
        Of the start vectors.

    References
    ----------
    R. B. Lehoucq, D. C. Sorensen and C. Yang, ARPACK Users' Guide (SIAM, 1998).

    Examples
    --------
    >>> found = singular(np.diag([5.0, 3.0, 3.0, 3.0, 1.0, 1.0]), 2, seed=0)
    >>> np.linalg.norm(found.scores, axis=0).round(6)
    array([5., 3.])
    """
    if components >= min(matrix.shape) // 2:
        found = _full(matrix, components)
    else:
        random = np.random.default_rng(seed)
        found = _lanczos(matrix, components, random)
        while _left_out(matrix, found, random):
            found = _merged(found, _lanczos(_rest(matrix, found), components, random))
    return Factors(found.left * found.values, found.right)


def nonnegative(matrix: Matrix, components: int, seed: int) -> Factors:
    """Return the non-negative factors of a matrix, by coordinate descent from a start by singular vectors.

    Parameters
    ----------
    matrix : array or csr_array, (row, column)
        Not negative.
    components : int
    seed : int

    Examples
    --------
    >>> found = nonnegative(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), 2, seed=0)
    >>> (found.scores @ found.factors).round(6), found.converged
    (array([[1., 0.],
            [2., 0.],
            [0., 3.]]), True)
    """
    from sklearn.decomposition import NMF

    # scikit-learn's own tolerance of 1e-4 stops while neighbouring pixels still have nothing in common
    engine = NMF(int(components), init="nndsvda", random_state=seed, max_iter=_NMF_ROUNDS, tol=_NMF_TOLERANCE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Maximum number of iterations")
        scores = engine.fit_transform(matrix)
    return Factors(scores, engine.components_, bool(engine.n_iter_ < _NMF_ROUNDS))


def by_hyperspy(matrix: Matrix, components: int, algorithm: str, seed: int) -> Factors:
    """Return the factors that an algorithm of HyperSpy finds; the matrix is made dense for it.

    Parameters
    ----------
    matrix : array or csr_array, (row, column)
    components : int
    algorithm : str
        One of `HYPERSPY`.
    seed : int
        Of the random numbers that some of them draw.

    Examples
    --------
    >>> found = by_hyperspy(np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0]) + np.eye(4, 3), 2, "SVD", seed=0)
    >>> found.scores.shape, found.factors.shape
    ((4, 2), (2, 3))
    """
    from hyperspy.signals import Signal1D

    signal = Signal1D(np.array(matrix if isinstance(matrix, np.ndarray) else matrix.toarray()))
    options = {"svd_solver": "full"} if algorithm == "SVD" else {"random_state": seed}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Maximum number of iterations")
        # HyperSpy's search for an elbow fails on a single singular value
        rank = max(int(components), 2)
        signal.decomposition(algorithm=algorithm, output_dimension=rank, print_info=False, **options)
    found = signal.learning_results
    return Factors(found.loadings[:, :components], found.factors.T[:components])


def _full(matrix: Matrix, components: int) -> _Triplets:
    from scipy.linalg import svd

    left, values, right = svd(matrix if isinstance(matrix, np.ndarray) else matrix.toarray(), full_matrices=False)
    return _Triplets(left[:, :components], values[:components], right[:components])


def _lanczos(matrix: Any, components: int, random: np.random.Generator) -> _Triplets:
    from scipy.sparse.linalg import svds

    left, values, right = svds(matrix, int(components), v0=random.standard_normal(min(matrix.shape)))
    return _Triplets(left[:, ::-1], values[::-1], right[::-1])


def _left_out(matrix: Matrix, found: _Triplets, random: np.random.Generator) -> bool:
    """Whether the rest of the matrix has a singular value above the smallest found; Lanczos errs downwards only."""
    from scipy.sparse.linalg import svds

    rest, start = _rest(matrix, found), random.standard_normal(min(matrix.shape))
    if not (rest @ start if len(start) == matrix.shape[1] else rest.T @ start).any():
        return False
    largest = svds(rest, 1, v0=start, tol=_CHECK_TOLERANCE, return_singular_vectors=False)[0]
    return bool(largest > found.values.min() + _SAME * found.values.max())


def _rest(matrix: Matrix, found: _Triplets) -> Any:
    """Return the matrix without what was found, as a rule that multiplies."""
    from scipy.sparse.linalg import LinearOperator

    scores, right = found.left * found.values, found.right
    return LinearOperator(
        matrix.shape,
        matvec=lambda vector: matrix @ vector - scores @ (right @ vector),
        rmatvec=lambda vector: matrix.T @ vector - right.T @ (scores.T @ vector),
        dtype=np.float64,
    )


def _merged(first: _Triplets, second: _Triplets) -> _Triplets:
    """Return as many of the largest of both as the first has; they are orthogonal to each other."""
    values = np.concatenate([first.values, second.values])
    largest = np.argsort(-values, kind="stable")[: first.values.size]
    left, right = np.hstack([first.left, second.left]), np.vstack([first.right, second.right])
    return _Triplets(left[:, largest], values[largest], right[largest])
