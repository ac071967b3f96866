"""The factors of a matrix, sparse or dense: leading singular vectors, and independent components."""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple

import numpy as np

from fusion.errors import DataError
from spectra.factorisation.sparse import Array, Matrix
from spectra.factorisation.stream import Streamed

_ICA_ROUNDS: Final = 1000
_ICA_TOLERANCE: Final = 1e-8
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
    matrix : array, csr_array or Streamed, (row, column)
        Of one that is read block by block the channels' Gram matrix is decomposed, which squares the rounding: values
        below 1e-7 of the largest are noise.
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
    if isinstance(matrix, Streamed):
        return _from_gram(matrix, components)
    if components >= min(matrix.shape) // 2:
        found = _full(matrix, components)
    else:
        random = np.random.default_rng(seed)
        found = _lanczos(matrix, components, random)
        while _left_out(matrix, found, random):
            found = _merged(found, _lanczos(_rest(matrix, found), components, random))
    return Factors(found.left * found.values, found.right)


def independent(scores: Array, factors: Array, seed: int) -> Factors:
    """Return the same model turned so that the scores are as independent of each other as can be (FastICA).

    Parameters
    ----------
    scores : array, (row, component)
    factors : array, (component, column)
    seed : int
        Of the start.

    Raises
    ------
    DataError
        If the scores have a smaller rank than there are components.

    References
    ----------
    A. Hyvärinen and E. Oja, Neural Netw. 13, 411 (2000).

    Examples
    --------
    >>> sources = np.random.default_rng(0).uniform(size=(500, 2))
    >>> mixed = sources @ np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> found = independent(mixed, np.eye(2), seed=0)
    >>> (abs(np.corrcoef(found.scores.T, sources.T)[:2, 2:]) > 0.99).sum(axis=0)
    array([1, 1])
    """
    from sklearn.decomposition import FastICA

    spread = np.linalg.svd(scores - scores.mean(axis=0), compute_uv=False)
    if spread[-1] <= _SAME * spread[0]:
        rank = int((spread > _SAME * spread[0]).sum())
        raise DataError(
            f"{scores.shape[1]} independent components asked of pixels that differ in {rank} ways only; ask for {rank}"
        )
    engine = FastICA(whiten="unit-variance", random_state=seed, max_iter=_ICA_ROUNDS, tol=_ICA_TOLERANCE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FastICA did not converge")
        engine.fit(scores)
    return Factors(scores @ engine.components_.T, engine.mixing_.T @ factors, bool(engine.n_iter_ < _ICA_ROUNDS))


def _full(matrix: Matrix, components: int) -> _Triplets:
    from scipy.linalg import svd

    left, values, right = svd(matrix if isinstance(matrix, np.ndarray) else matrix.toarray(), full_matrices=False)
    return _Triplets(left[:, :components], values[:components], right[:components])


def _lanczos(matrix: Any, components: int, random: np.random.Generator) -> _Triplets:
    from scipy.sparse.linalg import svds

    left, values, right = svds(matrix, int(components), v0=random.standard_normal(min(matrix.shape)))
    return _Triplets(left[:, ::-1], values[::-1], right[::-1])


def _from_gram(matrix: Streamed, components: int) -> Factors:
    from scipy.linalg import eigh

    last = len(matrix.gram) - 1
    factors = eigh(matrix.gram, subset_by_index=[last + 1 - components, last])[1].T[::-1]
    return Factors(matrix @ factors.T, factors)


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
