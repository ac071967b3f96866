"""Pairs of landmarks as a fit needs them: positions and the covariance of each position, in two or three dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.errors import RegistrationError

Array = npt.NDArray[np.float64]
Landmarks: TypeAlias = npt.ArrayLike | xr.Dataset | xr.DataArray
_SAME: Final = 1e-9


@dataclass(frozen=True)
class Pairs:
    """Landmarks (n, d) in um and their covariances (n, d, d) in um²; d is 2 within a plane, else 3.

    Parameters
    ----------
    moving, fixed : ndarray (n, d)
    moving_covariance, fixed_covariance : ndarray (n, d, d)
    known : bool
        Whether the covariances are those of the user. If not, they are those of unit errors of the fixed landmarks.
    columns : int
        How many numbers a moving landmark has; those of a section in a volume have two, and d is 3.
    rounding : float
        Variance that the rounding of the coordinates leaves, over that stated: an estimate from residuals is not below
        it.
    """

    moving: Array
    fixed: Array
    moving_covariance: Array
    fixed_covariance: Array
    known: bool
    columns: int
    rounding: float

    @property
    def dim(self) -> int:
        """The dimension of the fit."""
        return int(self.fixed.shape[1])

    def __len__(self) -> int:
        return len(self.fixed)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs."""
        return replace(
            self,
            moving=self.moving[rows], fixed=self.fixed[rows],
            moving_covariance=self.moving_covariance[rows], fixed_covariance=self.fixed_covariance[rows],
        )  # fmt: skip


def read_pairs(
    moving: Landmarks,
    fixed: Landmarks,
    sigma: npt.ArrayLike | None,
    sigma_moving: npt.ArrayLike | None,
    sigma_fixed: npt.ArrayLike | None,
    absolute: bool = True,
) -> Pairs:
    """Return landmarks and their covariances, see `fusion.register_landmarks`.

    Raises
    ------
    RegistrationError
        If they are no pairs, not finite, all in one point, or repeated; or if a sigma does not fit.
    """
    source, target = positions(moving, "moving"), positions(fixed, "fixed")
    columns = source.shape[1]
    if len(source) != len(target):
        raise RegistrationError(f"landmarks come in pairs; received {len(source)} moving and {len(target)} fixed")
    if columns > target.shape[1]:
        raise RegistrationError(
            "moving landmarks are z, y, x and the fixed ones y, x; a volume has no pose in a section: exchange the two "
            "and take the inverse of the transform"
        )
    _refuse_repeated(source, "moving")
    _refuse_repeated(target, "fixed")
    if sigma is not None and (sigma_moving is not None or sigma_fixed is not None):
        raise RegistrationError("sigma= is that of the pair; give either it or sigma_moving= and sigma_fixed=")
    stated = any(value is not None for value in (sigma, sigma_moving, sigma_fixed))
    of_moving = _covariances(sigma_moving, source.shape, "sigma_moving")
    of_pair = _covariances(sigma if stated else 1.0, target.shape, "sigma")
    of_fixed = of_pair + _covariances(sigma_fixed, target.shape, "sigma_fixed")
    if columns < target.shape[1]:
        source, of_moving = _raised(source), _raised(of_moving)
    # a number in steps of q is uniform within q of the truth, which has the variance q²/12
    rounding = (_step(source) ** 2 + _step(target) ** 2) / 12.0
    # of relative errors, as of none, the factor is estimated: the variance that it multiplies is the unit
    unit = float(np.trace(of_moving + of_fixed, axis1=1, axis2=2).mean()) / target.shape[1]
    known = stated and absolute
    pairs = Pairs(source, target, of_moving, of_fixed, known, columns, rounding if known else rounding / unit)
    _refuse_certain(pairs)
    return pairs


def positions(points: Landmarks, which: str) -> Array:
    """Return landmarks as (n, 3) or (n, 2) numbers.

    Raises
    ------
    RegistrationError
        If they are none.
    """
    if isinstance(points, xr.Dataset):
        if not {"y", "x"} <= set(points.coords):
            raise RegistrationError(f"{which}: landmarks in a Dataset need coordinates z, y, x along 'point'")
        along = [points[dim].values for dim in ("z", "y", "x") if dim in points.coords]
        points = np.stack(np.broadcast_arrays(*along), axis=-1)
    try:
        array = np.asarray(points, dtype=float)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{which}: landmarks are rows of two or three numbers; {error}") from error
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise RegistrationError(f"{which}: landmarks are (n, 3) as z, y, x or (n, 2) as y, x; received {array.shape}")
    if not np.isfinite(array).all():
        raise RegistrationError(f"{which}: landmark {int(np.argwhere(~np.isfinite(array))[0, 0])} is not finite")
    return array


def _covariances(sigma: npt.ArrayLike | None, shape: tuple[int, ...], name: str) -> Array:
    """Return covariances (n, d, d) from one sigma, one for each landmark, each axis, or from covariances themselves."""
    count, dim = shape
    if sigma is None:
        return np.zeros((count, dim, dim))
    try:
        values = np.asarray(sigma, dtype=float)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{name} is a number or an array of them; {error}") from error
    if values.ndim == 3 and values.shape[0] in (1, count) and values.shape[1:] == (dim, dim):
        return _checked(np.broadcast_to(values, (count, dim, dim)), name)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise RegistrationError(f"{name} must be positive and finite for every landmark")
    try:
        along = np.broadcast_to(values[:, None] if values.ndim == 1 else values, shape)
    except ValueError as error:
        raise RegistrationError(
            f"{name} is one number, ({count},), (1, {dim}), ({count}, {dim}) or covariances ({count}, {dim}, {dim}); "
            f"received shape {values.shape}"
        ) from error
    # Standard deviations along the axes, squared on the diagonal: independent errors, in um².
    return along[:, :, None] ** 2 * np.eye(dim)


def _checked(covariances: Array, name: str) -> Array:
    # A variance of zero along some direction is accepted here: the other side may have an error there. Whether the sum
    # of both leaves one without is judged for the pairs.
    symmetric = np.allclose(covariances, covariances.swapaxes(1, 2), rtol=1e-9, atol=0.0)
    if not (np.isfinite(covariances).all() and symmetric and (np.linalg.eigvalsh(covariances) >= 0).all()):
        raise RegistrationError(f"{name}: covariances are finite, symmetric and have no negative variance")
    return covariances


def _step(values: Array) -> float:
    """Return the power of ten in whose steps all numbers are written; at least what float64 keeps of them."""
    least = 64.0 * float(np.spacing(np.abs(values).max()))
    written = (10.0**-digits for digits in range(-3, 10) if np.abs(values - np.round(values, digits)).max() < least)
    return max(least, next(written, 0.0))


def _raised(values: Array) -> Array:
    """Return positions or covariances of a plane as those of space, in the plane z = 0 exactly."""
    return np.pad(values, [(0, 0), *[(1, 0)] * (values.ndim - 1)])


def _refuse_certain(pairs: Pairs) -> None:
    """Refuse covariances that leave a direction of the fixed frame without error: its weight would be infinite."""
    # The moving side's covariance is turned by a transform not yet known, so its trace stands for any direction. A
    # section's landmarks have none across it: there only the fixed side can.
    total = pairs.fixed_covariance + np.trace(pairs.moving_covariance, axis1=1, axis2=2)[:, None, None] * np.eye(
        pairs.dim
    )
    blind = pairs.columns < pairs.dim and not np.linalg.eigvalsh(pairs.fixed_covariance).min() > 0
    if blind or not np.linalg.eigvalsh(total).min() > 0:
        raise RegistrationError("sigma must be positive along every axis; give sigma_fixed=, of z, y and x, as well")


def _refuse_repeated(points: Array, which: str) -> None:
    # Two clicks on one point share their error, while the fit takes pairs for independent: n copies would make the
    # error smaller by the square root of n without a measurement.
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    size = apart.max(initial=0.0)
    if len(points) > 1 and size == 0:
        raise RegistrationError(f"{which}: all landmarks coincide")
    first, second = np.nonzero(np.triu(apart <= _SAME * size, 1))
    if first.size:
        raise RegistrationError(
            f"{which}: landmarks {first[0]} and {second[0]} are the same point; a copy counts as a second measurement "
            "and makes the error too small: keep one of them"
        )
