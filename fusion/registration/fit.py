"""The fit of a transform to pairs of landmarks: maximum likelihood with errors on both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.affine import skew, turned
from fusion.errors import RegistrationError
from fusion.registration.pairs import Pairs
from fusion.registration.result import Model

Array = npt.NDArray[np.float64]
_ILL_POSED: Final = 1e-6
_STEPS: Final = 60


class Fit(NamedTuple):
    """A fitted matrix, and what its error and the judgement of its pairs follow from.

    Parameters
    ----------
    matrix : ndarray (d + 1, d + 1)
        Maps moving to fixed.
    residuals : ndarray (n, d)
        Fixed minus mapped moving landmarks, in um.
    whitened : ndarray (n, d)
        The same over their standard deviations, without correlation.
    design : ndarray (n * d, k)
        Change of the whitened mapped landmarks with each parameter.
    jacobian : ndarray ((d + 1) * d, k)
        Change of the upper rows of the matrix with each parameter.
    """

    matrix: Array
    residuals: Array
    whitened: Array
    design: Array
    jacobian: Array

    @property
    def chi2(self) -> float:
        """The sum of squares of the whitened residuals."""
        return float((self.whitened**2).sum())

    @property
    def dof(self) -> int:
        """Numbers measured less parameters fitted."""
        return int(self.design.shape[0] - self.design.shape[1])

    @property
    def parameters(self) -> Array:
        """Covariance (k, k) of the parameters for errors as given: the inverse of the Fisher information."""
        inverse = np.linalg.pinv(self.design)
        return np.asarray(inverse @ inverse.T)

    @property
    def covariance(self) -> Array:
        """Covariance of the upper rows of the matrix, read row by row."""
        spread = self.jacobian @ self.parameters @ self.jacobian.T
        return np.asarray((spread + spread.T) / 2.0)


def fewest(model: Model, dim: int, columns: int) -> int:
    """Return how many pairs determine the model."""
    return dim + 1 if model == "affine" else max(columns, 2 if dim == 2 else 3)


def fit(pairs: Pairs, model: Model) -> Fit:
    """Return the maximum-likelihood transform of pairs whose landmarks err on both sides.

    Raises
    ------
    RegistrationError
        If the landmarks leave the model open, or no transform of it is finite.
    """
    # Minimised is sum r' S^-1 r with r = f - A m and S = Cf + A Cm A', which depends on A as well. Its gradient is
    # that of weighted least squares with the design at the estimated true positions m + Cm A' S^-1 r instead of m:
    # the positions are eliminated from the joint likelihood. Holding S fixed in the derivative (IRLS) is biased
    # where sigma is some per cent of the extent, so IRLS only gives the start. Cf. Balachandran and Fitzpatrick,
    # Med. Phys. 36, 5119 (2009) for the weighting; Fuller, Measurement Error Models (1987), ch. 3 for the likelihood.
    generators = _generators(model, pairs.dim)
    change = _linear_change if model == "affine" else _group_change
    try:
        start = _descend(pairs, closed_form(pairs, model), generators, change, at_true=False)
        best = _descend(pairs, start, generators, change, at_true=True)
        return _evaluated(pairs, best, generators)
    except np.linalg.LinAlgError as error:
        raise RegistrationError(
            f"no {model} transform fits the landmarks: the best one is infinite or flat; their order may be wrong"
        ) from error


def _descend(
    pairs: Pairs, matrix: Array, generators: Array, change: Callable[[Array, Array], Array], *, at_true: bool
) -> Array:
    """Take Gauss-Newton steps, each halved until the sum of squares falls; stop where none does."""
    best = _sum_of_squares(pairs, matrix)
    for _ in range(_STEPS):
        design, whitened = _linearised(pairs, matrix, generators, at_true=at_true)
        step = np.linalg.lstsq(design, whitened.ravel(), rcond=None)[0]
        direction = np.tensordot(step, generators, axes=1)
        for shrink in (1.0, 0.5, 0.25, 0.1, 0.01):
            trial = change(shrink * direction, matrix)
            value = _sum_of_squares(pairs, trial)
            if value < best:
                break
        else:
            return matrix
        # a sum of squares right to 1e-10 has parameters right to 1e-5 of their standard deviations
        small = best - value < 1e-10 * best or np.abs(step).max() < 1e-12
        matrix, best = trial, value
        if small:
            break
    return matrix


def _linear_change(direction: Array, matrix: Array) -> Array:
    return matrix + direction @ matrix


def _group_change(direction: Array, matrix: Array) -> Array:
    # the exponential of a turn, times that of the scale; the shift is added to first order
    dim = len(direction) - 1
    scale = np.trace(direction) / dim
    step = np.eye(dim + 1)
    step[:-1, :-1] = np.exp(scale) * turned(direction[:-1, :-1] - scale * np.eye(dim))
    step[:-1, -1] = direction[:-1, -1]
    return np.asarray(step @ matrix)


def residuals_of(pairs: Pairs, matrix: Array) -> tuple[Array, Array]:
    """Return fixed minus mapped moving landmarks (n, d), and the covariance (n, d, d) of these differences."""
    linear = matrix[:-1, :-1]
    covariance = pairs.fixed_covariance + linear @ pairs.moving_covariance @ linear.T
    return pairs.fixed - pairs.moving @ linear.T - matrix[:-1, -1], covariance


def distances(pairs: Pairs, matrix: Array) -> Array:
    """Return r' S^-1 r of each pair (n,)."""
    residual, covariance = residuals_of(pairs, matrix)
    return np.asarray((residual * np.linalg.solve(covariance, residual[..., None])[..., 0]).sum(axis=1))


def _sum_of_squares(pairs: Pairs, matrix: Array) -> float:
    try:
        return float(distances(pairs, matrix).sum())
    except np.linalg.LinAlgError:
        # a step so wide that the covariances of the moving side overflow
        return np.inf


def _linearised(pairs: Pairs, matrix: Array, generators: Array, *, at_true: bool) -> tuple[Array, Array]:
    residual, covariance = residuals_of(pairs, matrix)
    points = pairs.moving
    if at_true:
        pull = np.linalg.solve(covariance, residual[..., None])
        points = points + (pairs.moving_covariance @ (matrix[:-1, :-1].T @ pull))[..., 0]
    mapped = np.concatenate([points, np.ones((len(pairs), 1))], axis=1) @ matrix.T
    moved = np.einsum("kij,nj->nik", generators, mapped)[:, :-1]
    root = np.linalg.cholesky(covariance)
    design = np.linalg.solve(root, moved).reshape(-1, len(generators))
    return design, np.linalg.solve(root, residual[..., None])[..., 0]


def _evaluated(pairs: Pairs, matrix: Array, generators: Array) -> Fit:
    design, whitened = _linearised(pairs, matrix, generators, at_true=True)
    # Singular values of the design with columns of equal length: a shift in µm and a turn in radians have no common
    # unit, and their ratio would measure the choice of unit instead of the landmarks.
    norms = np.linalg.norm(design, axis=0)
    singular = np.linalg.svd(design / np.where(norms > 0, norms, 1.0), compute_uv=False)
    if not norms.all() or singular[-1] < _ILL_POSED * singular[0]:
        raise RegistrationError(
            "the landmarks leave the model open: they coincide, or lie on one line or plane; add landmarks off it, or "
            "use a model with fewer parameters (for two images give (y, x) columns only)"
        )
    jacobian = (generators @ matrix)[:, :-1].reshape(len(generators), -1).T
    return Fit(matrix, residuals_of(pairs, matrix)[0], whitened, design, jacobian)


def closed_form(pairs: Pairs, model: Model, *, mirrored: bool = False) -> Array:
    """Return the least-squares matrix with one weight for each pair, about the centroids.

    Umeyama, IEEE Trans. Pattern Anal. 13, 376 (1991), eqs. 39 to 43; `mirrored` takes the best reflection instead.
    For the affine model the linear map is that of ordinary least squares.
    """
    total = pairs.fixed_covariance + pairs.moving_covariance
    weight = 1.0 / np.trace(total, axis1=1, axis2=2)[:, None]
    weight = weight / weight.sum()
    centre, onto = (weight * pairs.moving).sum(axis=0), (weight * pairs.fixed).sum(axis=0)
    start, end = pairs.moving - centre, pairs.fixed - onto
    if model == "affine":
        root = np.sqrt(weight)
        linear = np.linalg.lstsq(root * start, root * end, rcond=None)[0].T
    else:
        linear = _scaled_rotation((weight * end).T @ start, float((weight * start**2).sum()), model, mirrored)
    matrix = np.eye(pairs.dim + 1)
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = onto - linear @ centre
    return matrix


def _scaled_rotation(moment: Array, size: float, model: Model, mirrored: bool) -> Array:
    left, singular, right = np.linalg.svd(moment)
    signs = np.ones(len(singular))
    signs[-1] = np.sign(np.linalg.det(left) * np.linalg.det(right)) * (-1.0 if mirrored else 1.0)
    scale = 1.0 if model == "rigid" else float((singular * signs).sum()) / size
    return np.asarray((scale or 1.0) * (left * signs) @ right)


def _generators(model: Model, dim: int) -> Array:
    """Return the directions (k, d + 1, d + 1) in which a matrix of the model may change."""
    units = np.eye((dim + 1) ** 2).reshape(dim + 1, dim + 1, dim + 1, dim + 1)
    if model == "affine":
        return np.concatenate(list(units[:-1]))
    axes = [skew(axis)[-dim:, -dim:] for axis in (np.eye(3) if dim == 3 else np.eye(3)[:1])]
    linear = [*axes, np.eye(dim)] if model == "similarity" else axes
    return np.array([*(np.pad(block, (0, 1)) for block in linear), *units[:-1, -1]])
