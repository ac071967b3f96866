"""Algorithms of HyperSpy, by its names, on the map made dense."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from fusion.errors import DataError
from spectra.factorisation.factors import Factors
from spectra.factorisation.sparse import Array, Matrix, entries
from spectra.quiet import quiet

_SOURCES: Final = ("sklearn_fastica", "orthomax")
"""They separate the sources that SVD mixes. FastICA, JADE, CuBICA and TDSEP need MDP, which is not kept up."""
_CENTRED: Final = ("sklearn_pca", "sparse_pca", "mini_batch_sparse_pca")
_UNSEEDED: Final = ("SVD", "MLPCA", "orthomax")
_SEARCHED: Final = ("SVD", "RPCA", "MLPCA", "sklearn_pca", *_SOURCES)
"""HyperSpy searches their singular values for an elbow, which fails on a single one."""
_ONLINE_START: Final = 10


def by_hyperspy(matrix: Matrix, components: int, algorithm: str, seed: int) -> Factors:
    """Return the factors of an algorithm of HyperSpy; the matrix is made dense for it.

    Parameters
    ----------
    matrix : array or csr_array, (row, column)
    components : int
    algorithm : str
        By its name in HyperSpy. Those that subtract the mean spectrum give it as a component, with the score 1 in every
        row, so that the product of the factors is their model.
    seed : int
        Of the random numbers that some of them draw.

    Raises
    ------
    DataError
        If one component is asked of an algorithm that subtracts the mean.

    Examples
    --------
    >>> factors = by_hyperspy(np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0]) + np.eye(4, 3), 2, "SVD", seed=0)
    >>> factors.scores.shape, factors.factors.shape
    ((4, 2), (2, 3))
    """
    dense = np.array(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())
    # the tolerances and penalties are made for values of about 1; MLPCA takes the counts for their variances
    unit = 1.0 if algorithm == "MLPCA" else float(np.sqrt((entries(matrix) ** 2).sum() / dense.size))
    if algorithm not in _CENTRED:
        scores, factors, _ = _run(dense / unit, components, algorithm, seed)
    elif components < 2:
        raise DataError(f"method {algorithm!r} subtracts the mean, which is a component of its own; ask for 2 or more")
    else:
        scores, factors, mean = _run(dense / unit, components - 1, algorithm, seed)
        scores, factors = np.hstack([np.ones((len(scores), 1)), scores]), np.vstack([mean, factors])
    return Factors(scores * unit, factors)


def _run(dense: Array, components: int, algorithm: str, seed: int) -> tuple[Array, Array, Any]:
    from hyperspy.signals import Signal1D

    transposed = algorithm == "MLPCA" and dense.shape[0] > dense.shape[1]  # it makes a matrix of rows by rows
    signal = Signal1D(dense.T if transposed else dense)
    rank = max(components, 2) if algorithm in _SEARCHED else components
    options: dict[str, Any] = {} if algorithm in _UNSEEDED else {"random_state": seed}
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"), quiet("hyperspy"):
        warnings.filterwarnings("ignore", message=".*(Maximum number of iterations|did not converge)")
        if algorithm in _SOURCES:
            signal.decomposition(algorithm="SVD", output_dimension=rank, print_info=False, svd_solver="full")
            signal.blind_source_separation(components, algorithm=algorithm, print_info=False, **options)
            return signal.learning_results.bss_loadings, signal.learning_results.bss_factors.T, None
        if algorithm in ("SVD", "MLPCA"):
            options["svd_solver"] = "full"
        if algorithm == "ORPCA":
            options["training_samples"] = max(_ONLINE_START, rank)
        signal.decomposition(algorithm=algorithm, output_dimension=rank, print_info=False, **options)
    results = signal.learning_results
    scores, factors = (results.factors, results.loadings.T) if transposed else (results.loadings, results.factors.T)
    return scores[:, :components], factors[:components], results.mean
