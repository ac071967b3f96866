"""The methods of decomposition in one table: what each is called, how it finds factors, and what these are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from spectra.factorisation.ambiguity import mixing
from spectra.factorisation.factors import Factors, independent, singular
from spectra.factorisation.hyperspy_algorithms import by_hyperspy
from spectra.factorisation.least_squares import alternating, nnls
from spectra.factorisation.nmf import nonnegative
from spectra.factorisation.problem import Problem
from spectra.factorisation.pure_pixels import Indices, corners
from spectra.factorisation.sparse import Array
from spectra.factorisation.uncertainty import Errors, joint_errors, pixel_errors, separate_errors

Method: TypeAlias = Literal[
    "nmf", "pca", "ica", "mcr", "nfindr", "vca",
    "SVD", "NMF", "RPCA", "MLPCA", "ORPCA", "ORNMF", "sklearn_pca", "sparse_pca", "mini_batch_sparse_pca",
    "sklearn_fastica", "orthomax",
]  # fmt: skip


class Request(NamedTuple):
    """What is sought: how many components, under which constraint, and from which start.

    Parameters
    ----------
    components : int
    seed : int
    closure : bool
        Whether the abundances of a pixel sum to one.
    initial : array, (component, channel), optional
        Spectra to begin with, of the live channels and divided as the matrix is.
    random : bool
        Whether a method that hardly depends on the seed begins at random instead.
    """

    components: int
    seed: int = 0
    closure: bool = False
    initial: Array | None = None
    random: bool = False


class Solution(NamedTuple):
    """Factors of the divided matrix; and which live pixels the endmembers are, if they are pixels."""

    factors: Factors
    pixels: Indices | None = None


class Engine(NamedTuple):
    """A method of decomposition.

    Parameters
    ----------
    name : str
    find : callable
    unit_sum : bool
        Whether endmembers are scaled to unit sum, so that abundances are in counts; else to unit Euclidean norm.
    closed : bool
        Whether it can hold the abundances of each pixel to a sum of one.
    streamed : bool
        Whether it does nothing but multiply the matrix, so that this need not fit into memory.
    errors : callable, optional
        From the problem, abundances, endmembers and the pixels that these are, to standard errors.
    nonnegative : bool
        Whether it refuses negative values.
    weighted : bool
        Whether the matrix may be divided by weights.
    takes_initial : bool
        Whether it can begin at spectra that are known.
    fewest : int
        Components.
    """

    name: Method
    find: Callable[[Problem, Request], Solution]
    unit_sum: bool = False
    closed: bool = False
    streamed: bool = False
    errors: Callable[[Problem, Array, Array, Indices | None], Errors] | None = None
    nonnegative: bool = False
    weighted: bool = True
    takes_initial: bool = False
    fewest: int = 1


def _nmf(problem: Problem, request: Request) -> Solution:
    start = "random" if request.random else "nndsvd"
    return Solution(nonnegative(problem.matrix, request.components, request.seed, start))


def _pca(problem: Problem, request: Request) -> Solution:
    return Solution(singular(problem.matrix, request.components, request.seed))


def _ica(problem: Problem, request: Request) -> Solution:
    """Rotate the principal components so that the abundances, in the units of the map, are independent."""
    principal = singular(problem.matrix, request.components, request.seed)
    # Independence is a statement about abundances. Divided by the square root of the pixel's counts, as the noise needs
    # it, two independent abundances depend on each other through that divisor.
    rotated = independent(principal.scores * problem.by_pixel[:, None], principal.factors, request.seed)
    return Solution(rotated._replace(scores=rotated.scores / problem.by_pixel[:, None]))


def _mcr(problem: Problem, request: Request) -> Solution:
    start = _extreme_spectra(problem, request) if request.initial is None else request.initial
    return Solution(alternating(problem.matrix, start, _totals(problem, request)))


def _pure_pixels(problem: Problem, request: Request, *, method: str) -> Solution:
    pixels = corners(problem, request.components, method, request.seed, request.closure)
    spectra = problem.pixel_spectra(pixels)
    # Abundances by non-negative least squares from the normal equations, which are as small as there are components:
    # min |x - a E|² over a >= 0 needs E Eᵀ and x Eᵀ only.
    scores = nnls(spectra @ spectra.T, problem.matrix @ spectra.T, _totals(problem, request))
    return Solution(Factors(scores, spectra), pixels)


def _of_hyperspy(problem: Problem, request: Request, *, method: str) -> Solution:
    return Solution(by_hyperspy(problem.matrix, request.components, method, request.seed))


def _totals(problem: Problem, request: Request) -> Array | None:
    """Return what the scores of each pixel sum to, if their abundances sum to one."""
    return 1.0 / problem.by_pixel if request.closure else None


def _extreme_spectra(problem: Problem, request: Request) -> Array:
    """Return spectra to begin with: those of extreme pixels, or the mean where there is one component."""
    if request.components == 1:
        return np.abs(singular(problem.matrix, 1, request.seed).factors)
    pixels = corners(problem, request.components, "vca", request.seed, request.closure)
    # Alternating least squares goes to the nearest minimum; extreme pixels are near the vertices of the simplex.
    return np.maximum(problem.pixel_spectra(pixels), 0.0)


def _errors_of_both(problem: Problem, abundance: Array, endmember: Array, pixels: Indices | None) -> Errors:
    # The variance of a Poisson count is its mean, modelled as (pixel) × (channel): the squares of the two divisors.
    weights = problem.by_pixel**2, problem.by_channel**2
    free = mixing(problem, abundance, endmember, separate_errors(abundance, endmember, *weights))
    return joint_errors(abundance, endmember, *weights, free.variance)


def _errors_of_pixels(problem: Problem, abundance: Array, endmember: Array, pixels: Indices | None) -> Errors:
    return pixel_errors(abundance, endmember, problem.by_channel**2, problem.by_pixel[pixels] ** 2)


def _corner(name: Literal["nfindr", "vca"]) -> Engine:
    find = partial(_pure_pixels, method=name)
    return Engine(name, find, unit_sum=True, closed=True, streamed=True, errors=_errors_of_pixels, fewest=2)


def _hyperspy(name: Method, *, positive: bool = False, weighted: bool = True) -> Engine:
    find = partial(_of_hyperspy, method=name)
    return Engine(name, find, unit_sum=positive, nonnegative=positive, weighted=weighted)


_ENGINES: Final = (
    Engine("nmf", _nmf, unit_sum=True, errors=_errors_of_both, nonnegative=True),
    Engine("pca", _pca, streamed=True),
    Engine("ica", _ica, streamed=True),
    Engine("mcr", _mcr, unit_sum=True, closed=True, errors=_errors_of_both, takes_initial=True),
    _corner("nfindr"),
    _corner("vca"),
    _hyperspy("SVD"),
    _hyperspy("NMF", positive=True)._replace(errors=_errors_of_both),
    _hyperspy("RPCA"),
    _hyperspy("MLPCA", weighted=False),
    _hyperspy("ORPCA"),
    _hyperspy("ORNMF", positive=True),
    _hyperspy("sklearn_pca"),
    _hyperspy("sparse_pca"),
    _hyperspy("mini_batch_sparse_pca"),
    _hyperspy("sklearn_fastica"),
    _hyperspy("orthomax"),
)
ENGINES: Final[Mapping[str, Engine]] = {engine.name: engine for engine in _ENGINES}
