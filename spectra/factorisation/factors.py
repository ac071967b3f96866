"""Factors of a matrix, sparse or dense: leading singular vectors, and independent components."""

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

    By Lanczos iterations to machine precision: randomised solvers are degrees off where values lie close.

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
    >>> leading = singular(np.diag([5.0, 3.0, 3.0, 3.0, 1.0, 1.0]), 2, seed=0)
    >>> np.linalg.norm(leading.scores, axis=0).round(6)
    array([5., 3.])
    """
    # One Krylov space holds a single vector of several with equal singular values, as isolated counts have them under
    # Poisson weights (each such pixel is a block of its own). What one run missed is therefore sought in the rest of
    # the matrix, A − U S Vᵀ, until that has no larger value than the smallest one kept.
    if isinstance(matrix, Streamed):
        return _from_gram(matrix, components)
    if components >= min(matrix.shape) // 2:
        triplets = _full(matrix, components)
    else:
        random = np.random.default_rng(seed)
        triplets = _lanczos(matrix, components, random)
        while _incomplete(matrix, triplets, random):
            triplets = _merged(triplets, _lanczos(_rest(matrix, triplets), components, random))
    return Factors(triplets.left * triplets.values, triplets.right)


def independent(scores: Array, factors: Array, seed: int) -> Factors:
    """Return the same model rotated so that the scores are as independent of each other as can be (FastICA).

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
    >>> rotated = independent(mixed, np.eye(2), seed=0)
    >>> (abs(np.corrcoef(rotated.scores.T, sources.T)[:2, 2:]) > 0.99).sum(axis=0)
    array([1, 1])
    """
    from sklearn.decomposition import FastICA

    spread = np.linalg.svd(scores - scores.mean(axis=0), compute_uv=False)
    if spread[-1] <= _SAME * spread[0]:
        rank = int((spread > _SAME * spread[0]).sum())
        raise DataError(
            f"{scores.shape[1]} independent components asked of pixels that differ in {rank} ways only; ask for {rank}"
        )
    # FastICA maximises the negentropy of each whitened score, approximated by E log cosh; the mixing matrix, applied to
    # the factors, keeps the product. Scores are not centred afterwards: the mean stays part of the model.
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


# The right singular vectors are the eigenvectors of the Gram matrix Aᵀ A of the channels, which is a few thousand
# squared whatever the number of pixels; the scores follow by one more reading of the map.
def _from_gram(matrix: Streamed, components: int) -> Factors:
    from scipy.linalg import eigh

    last = len(matrix.gram) - 1
    factors = eigh(matrix.gram, subset_by_index=[last + 1 - components, last])[1].T[::-1]
    return Factors(matrix @ factors.T, factors)


def _incomplete(matrix: Matrix, known: _Triplets, random: np.random.Generator) -> bool:
    """Whether the rest of the matrix has a singular value above the smallest known; Lanczos errs downwards only."""
    from scipy.sparse.linalg import svds

    rest, start = _rest(matrix, known), random.standard_normal(min(matrix.shape))
    if not (rest @ start if len(start) == matrix.shape[1] else rest.T @ start).any():
        return False
    largest = svds(rest, 1, v0=start, tol=_CHECK_TOLERANCE, return_singular_vectors=False)[0]
    return bool(largest > known.values.min() + _SAME * known.values.max())


def _rest(matrix: Matrix, known: _Triplets) -> Any:
    """Return the matrix less its known triplets, as an operator that multiplies."""
    from scipy.sparse.linalg import LinearOperator

    scores, right = known.left * known.values, known.right
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
