"""Registration: find the transform that brings one dataset onto another, and how well it is known."""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine, skew
from fusion.errors import FrameError, RegistrationError
from fusion.registration.result import Model, Registration, as_residuals

Array = npt.NDArray[np.float64]
Landmarks: TypeAlias = npt.ArrayLike | xr.Dataset | xr.DataArray

_ILL_POSED: Final = 1e-6
_MIRRORED: Final = 0.25


def register_landmarks(
    moving: Landmarks, fixed: Landmarks, *, model: Model, sigma: npt.ArrayLike | None = None
) -> Registration:
    """Fit a transform to pairs of landmarks by weighted least squares.

    Parameters
    ----------
    moving, fixed : array_like (n, 3) or (n, 2), or Dataset with coordinates z, y, x along ``point``
        The same places in both datasets, in um, z, y, x. Two columns (y, x) fit a transform within the plane.
    model : {"rigid", "similarity", "affine"}
        Rotation and shift; with one scale; or any linear map and shift.
    sigma : float or array_like (n,) or (n, 3), optional
        Standard deviation in um of a pair: how far off fixed minus moving may be along one axis. Left out, all pairs
        are equal and their error is estimated from the residuals.

    Returns
    -------
    Registration
        With the covariance of the transform, to first order: the inverse of the Fisher information.

    Raises
    ------
    RegistrationError
        If the landmarks are too few, lie on a line or plane that leaves the model open, are mirrored, or not finite.

    Notes
    -----
    Starts from the closed form of Umeyama, IEEE Trans. Pattern Anal. 13, 376 (1991), eqs. 39 to 43, and refines it by
    Gauss-Newton steps on the generators of the model, so that unequal errors are weighted exactly.

    Examples
    --------
    >>> moving = np.array([[0.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0], [2.0, 1.0, 3.0]])
    >>> found = register_landmarks(moving, moving + [0.0, 1.0, 2.0], model="rigid", sigma=0.1)
    >>> found.transform([0.0, 0.0, 0.0]).round(6) + 0.0
    array([0., 1., 2.])
    >>> round(float(found.tre([[0.0, 0.0, 0.0]])[0]), 3)
    0.121
    """
    if model not in get_args(Model):
        raise RegistrationError(f"unknown model {model!r}; accepted are {', '.join(get_args(Model))}")
    source, target, planar = _pairs(moving, fixed)
    weights = _weights(sigma, source.shape, planar)
    generators = _generators(model, planar)
    _refuse_too_few(len(source), model, planar)
    centre_source, centre_target = source.mean(axis=0), target.mean(axis=0)
    matrix, spread = _fit(source - centre_source, target - centre_target, weights, generators, model)
    known = _known_sigma(sigma, source - centre_source, target - centre_target, matrix, len(generators), planar)
    factor = 1.0 if sigma is not None else known**2 if known is not None else None
    try:
        centred = Affine(matrix, covariance=None if factor is None else spread * factor)
    except FrameError as error:
        raise RegistrationError(f"the landmarks do not give a usable {model} transform: {error}") from error
    transform = Affine.translation(*centre_target) @ centred @ Affine.translation(*-centre_source)
    return Registration(transform, as_residuals(target - transform(source)), model, known)


def _refuse_too_few(pairs: int, model: Model, planar: bool) -> None:
    needed = {"rigid": 3, "similarity": 3, "affine": 4}[model] - planar
    if pairs < needed:
        raise RegistrationError(f"{model} needs at least {needed} pairs of landmarks; received {pairs}")


def _pairs(moving: Landmarks, fixed: Landmarks) -> tuple[Array, Array, bool]:
    source, target = _positions(moving, "moving"), _positions(fixed, "fixed")
    if source.shape != target.shape:
        raise RegistrationError(f"landmarks come in pairs; received {source.shape} moving and {target.shape} fixed")
    planar = source.shape[1] == 2
    if planar:
        source, target = (np.pad(points, ((0, 0), (1, 0))) for points in (source, target))
    return source, target, planar


def _positions(points: Landmarks, which: str) -> Array:
    if isinstance(points, xr.Dataset):
        if not {"y", "x"} <= set(points.coords):
            raise RegistrationError(f"{which}: landmarks in a Dataset need coordinates z, y, x along 'point'")
        points = np.stack([points[dim].values for dim in ("z", "y", "x") if dim in points.coords], axis=-1)
    try:
        array = np.asarray(points, dtype=float)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{which}: landmarks are rows of two or three numbers; {error}") from error
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise RegistrationError(f"{which}: landmarks are (n, 3) as z, y, x or (n, 2) as y, x; received {array.shape}")
    if not np.isfinite(array).all():
        raise RegistrationError(f"{which}: landmark {int(np.argwhere(~np.isfinite(array))[0, 0])} is not finite")
    return array


def _weights(sigma: npt.ArrayLike | None, shape: tuple[int, ...], planar: bool) -> Array:
    """Return 1/sigma for each coordinate of each pair; the fixed plane of planar landmarks has no weight."""
    try:
        spread = np.asarray(1.0 if sigma is None else sigma, dtype=float)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"sigma is a number or an array of them; {error}") from error
    if spread.ndim == 1:
        spread = spread[:, None]
    if planar and spread.ndim == 2 and spread.shape[1] == 2:
        spread = np.pad(spread, ((0, 0), (1, 0)), constant_values=1.0)
    if not (np.isfinite(spread).all() and (spread > 0).all()):
        raise RegistrationError("sigma must be positive and finite for every landmark")
    try:
        weights = 1.0 / np.broadcast_to(spread, shape)
    except ValueError as error:
        raise RegistrationError(f"sigma is one number, (n,) or (n, 3); received shape {spread.shape}") from error
    return weights * np.array([0.0, 1.0, 1.0]) if planar else weights


def _generators(model: Model, planar: bool) -> Array:
    """Return the directions (k, 4, 4) in which a matrix of the model may change."""
    axes = np.eye(3)[:1] if planar else np.eye(3)
    moves = np.eye(3)[1:] if planar else np.eye(3)
    if model == "affine":
        rows = range(1, 3) if planar else range(3)
        return np.array([_unit(row, column) for row in rows for column in (*rows, 3)])
    found = [_embedded(skew(axis)) for axis in axes]
    if model == "similarity":
        found.append(_embedded(np.diag([0.0, 1.0, 1.0]) if planar else np.eye(3)))
    found.extend(_unit(int(np.argmax(move)), 3) for move in moves)
    return np.array(found)


def _unit(row: int, column: int) -> Array:
    matrix = np.zeros((4, 4))
    matrix[row, column] = 1.0
    return matrix


def _embedded(linear: Array) -> Array:
    matrix = np.zeros((4, 4))
    matrix[:3, :3] = linear
    return matrix


def _fit(source: Array, target: Array, weights: Array, generators: Array, model: Model) -> tuple[Array, Array]:
    """Return the matrix and the covariance (12, 12) of its entries, for centred landmarks and unit weights."""
    from scipy.linalg import expm

    matrix = _closed_form(source, target, weights, model)
    homogeneous = np.concatenate([source, np.ones((len(source), 1))], axis=1)
    for _ in range(50):
        design = _design(homogeneous @ matrix.T, weights, generators, model)
        residual = (weights * (target - (homogeneous @ matrix.T)[:, :3])).ravel()
        step = np.linalg.lstsq(design, residual, rcond=None)[0]
        change = np.tensordot(step, generators, axes=1)
        matrix = matrix + change @ matrix if model == "affine" else expm(change) @ matrix
        if np.abs(step).max() < 1e-13 * (1.0 + np.abs(target).max()):
            break
    design = _design(homogeneous @ matrix.T, weights, generators, model)
    inverse = np.linalg.pinv(design)
    jacobian = (generators @ matrix)[:, :3].reshape(len(generators), 12).T @ inverse
    spread = jacobian @ jacobian.T
    return matrix, (spread + spread.T) / 2.0


def _design(mapped: Array, weights: Array, generators: Array, model: Model) -> Array:
    design = np.einsum("kij,nj->nik", generators, mapped)[:, :3] * weights[:, :, None]
    flat: Array = design.reshape(-1, len(generators))
    norms = np.linalg.norm(flat, axis=0)
    singular = np.linalg.svd(flat / np.where(norms > 0, norms, 1.0), compute_uv=False)
    if not norms.all() or singular[-1] < _ILL_POSED * singular[0]:
        raise RegistrationError(
            f"the landmarks leave the {model} model open: they coincide, or lie on one line or plane; add landmarks "
            "off it, or use a model with fewer parameters (for two images give (y, x) columns only)"
        )
    return flat


def _closed_form(source: Array, target: Array, weights: Array, model: Model) -> Array:
    """Umeyama's solution with one weight for each pair; the start of the refinement."""
    used = weights[0] > 0
    weight = (weights[:, used] ** 2).mean(axis=1)[:, None]
    start, end = source[:, used], target[:, used]
    left, singular, right = np.linalg.svd((weight * end).T @ start)
    signs = np.ones(len(singular))
    signs[-1] = np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0
    size = float((weight * start**2).sum())
    # coinciding landmarks have no size; the design matrix refuses them in the next step
    scale = 1.0 if model == "rigid" or size == 0 else float((singular * signs).sum()) / size
    if model != "affine":
        _refuse_mirrored(singular, signs, size, float((weight * end**2).sum()), model)
    matrix = np.eye(4)
    matrix[np.ix_([*used, False], [*used, False])] = (scale or 1.0) * (left * signs) @ right
    return matrix


def _refuse_mirrored(singular: Array, signs: Array, size: float, reach: float, model: Model) -> None:
    """Compare the residuals that are left with and without a reflection."""
    proper, mirrored = ((singular * sign).sum() for sign in (signs, np.abs(signs)))
    if model == "rigid":
        left_over, left_mirrored = reach + size - 2 * proper, reach + size - 2 * mirrored
    else:
        left_over, left_mirrored = (reach - value**2 / max(size, 1e-300) for value in (proper, mirrored))
    if signs[-1] < 0 and left_over > 1e-9 * reach and left_mirrored < _MIRRORED * left_over:
        raise RegistrationError("the landmarks are mirrored: one axis of moving or fixed runs the other way; turn it")


def _known_sigma(
    sigma: npt.ArrayLike | None, source: Array, target: Array, matrix: Array, parameters: int, planar: bool
) -> float | None:
    if sigma is not None:
        return float(np.sqrt(np.mean(np.square(sigma))))
    residual = target - (source @ matrix[:3, :3].T + matrix[:3, 3])
    freedom = residual.shape[0] * (2 if planar else 3) - parameters
    return float(np.sqrt((residual**2).sum() / freedom)) if freedom > 0 else None
