"""Several estimates of one transform made one: stage, landmarks and images, each with its covariance."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fusion.affine import Affine, joint_dof
from fusion.errors import RegistrationError

Array = npt.NDArray[np.float64]
_UNLIKELY: Final = 1e-3


def combine(*transforms: Affine) -> Affine:
    """Return the one transform that independent estimates of it amount to, each weighted by its covariance.

    Parameters
    ----------
    *transforms : Affine
        Estimates of the transform between the same two frames, from sources that share no landmarks, each with a
        covariance; that of an exact part is zero. The pose of a stage, whose file states no error, takes one from
        `fusion.Affine.with_repeatability`.

    Returns
    -------
    Affine
        With the covariance of the combination; a lower bound if one of the estimates is.

    Raises
    ------
    RegistrationError
        If a covariance is not known, or the estimates disagree by more than their covariances allow (chi-squared,
        p < 0.001): an average of two that contradict one another is wrong about both.

    Examples
    --------
    >>> spread = np.zeros((12, 12))
    >>> spread[11, 11] = 1.0
    >>> stage, marks = Affine(np.eye(4), covariance=spread), Affine(Affine.translation(x=0.4).matrix, covariance=spread)
    >>> both = combine(stage, marks)
    >>> float(both.matrix[2, 3].round(6)), float(both.covariance[11, 11])
    (0.2, 0.5)
    """
    if len(transforms) < 2:
        raise RegistrationError(f"at least two transforms are combined; received {len(transforms)}")
    for number, transform in enumerate(transforms):
        if transform.covariance is None:
            raise RegistrationError(f"transform {number} has no covariance; what is unknown has no weight")
    total, *others = transforms
    for number, other in enumerate(others, 1):
        total = _updated(total, other, number)
    return total


def _updated(first: Affine, second: Affine, number: int) -> Affine:
    # The update of Kalman: with d = m2 - m1 and K = C1 (C1 + C2)⁺, m = m1 + K d and C = (I - K) C1 (I - K)ᵀ + K C2 Kᵀ.
    # It needs no inverse of C1 or C2, which are singular: a rigid transform has 6 numbers in 12 entries, and exact
    # ones no error at all. All is in generators, M2 = exp(G) M1, in which rigid transforms are one subspace wherever
    # M1 is, so that their combination is rigid.
    from scipy.linalg import expm, logm
    from scipy.special import chdtrc

    ours, theirs = _in_generators(first), _in_generators(second)
    apart = np.real(logm(second.matrix @ np.linalg.inv(first.matrix)))[:3].ravel()
    inverse, rank, outside = _inverse(ours + theirs, apart)
    square = float(apart @ inverse @ apart)
    p = float(chdtrc(rank, square)) if rank else 1.0
    if p < _UNLIKELY or outside:
        shift = np.linalg.norm((second.matrix - first.matrix)[:3, 3])
        raise RegistrationError(
            f"transform {number} disagrees with those before it: chi-squared {square:.3g} for {rank} degrees of "
            f"freedom (p = {p:.2g}), {shift:.3g} um apart at the origin; one is wrong, or its covariance too small"
        )
    gain = ours @ inverse
    rest = np.eye(12) - gain
    shares = rest @ ours @ rest.T, gain @ theirs @ gain.T
    step = np.zeros((4, 4))
    step[:3] = (gain @ apart).reshape(3, 4)
    matrix = expm(step) @ first.matrix
    back = np.kron(np.eye(3), matrix.T)
    covariance = back @ (shares[0] + shares[1]) @ back.T
    dof = joint_dof((shares[0], first.dof), (shares[1], second.dof))
    lower_bound = first.lower_bound or second.lower_bound
    return Affine(matrix, covariance=(covariance + covariance.T) / 2.0, dof=dof, lower_bound=lower_bound)


def _in_generators(transform: Affine) -> Array:
    """Return the covariance (12, 12) of G in dM = G M, its upper rows read row by row."""
    jacobian = np.kron(np.eye(3), np.linalg.inv(transform.matrix).T)
    return np.asarray(jacobian @ np.asarray(transform.covariance) @ jacobian.T)


def _inverse(total: Array, apart: Array) -> tuple[Array, int, bool]:
    """Return the pseudo-inverse, its rank, and whether the difference lies where neither has an error."""
    units = np.sqrt(np.diag(total).clip(min=0.0))
    free = units > 1e-9 * units.max(initial=0.0)
    scale = np.where(free, units, 1.0)
    values, vectors = np.linalg.eigh(total / np.outer(scale, scale) * np.outer(free, free))
    used = values > 1e-9 * max(values[-1], 1e-300)
    vectors = vectors[:, used] / scale[:, None]
    exact = np.abs(apart[~free]).max(initial=0.0)
    return vectors / values[used] @ vectors.T, int(used.sum()), bool(exact > 1e-6 * max(1.0, np.abs(apart).max()))
