"""Affine transforms of space and the covariance of their parameters.

Points are (..., 3) arrays in the order z, y, x and in micrometres; matrices act on column vectors (z, y, x, 1).
A transform maps the moving dataset onto the fixed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.errors import FrameError

Array = npt.NDArray[np.float64]
_KIND: Final = "covariance_kind"
_LOWER_BOUND: Final = "lower bound"


class Affine:
    """An affine transform of space and the covariance of its twelve parameters.

    Parameters
    ----------
    matrix : array_like, (4, 4)
        Acts on column vectors (z, y, x, 1), in um.
    covariance : array_like, (12, 12), optional
        Covariance of the upper three rows of `matrix`, read row by row. None where it is not known, zeros where the
        transform is exact, as `translation`, `rotation`, `scaling` and `identity` are.
    dof : float, optional
        Degrees of freedom that the covariance was estimated with; infinite where it is known.
    lower_bound : bool, optional
        Whether the error may be larger than the covariance says, as that of a registration of images.

    Raises
    ------
    FrameError
        If the matrix is not 4 x 4, not finite, not affine or not invertible, or the covariance does not fit.

    Examples
    --------
    >>> shift = Affine.translation(z=0.0, y=1.0, x=2.0)
    >>> turn = Affine.rotation(90.0, axis=(1.0, 0.0, 0.0))
    >>> (shift @ turn)([0.0, 0.0, 1.0]).round(6)
    array([0., 2., 2.])
    """

    __array_ufunc__ = None  # numpy leaves the operator @ to this class

    def __init__(
        self, matrix: npt.ArrayLike, *, covariance: npt.ArrayLike | None = None, dof: float = np.inf,
        lower_bound: bool = False,
    ) -> None:  # fmt: skip
        self.matrix: Array = _frozen(matrix)
        self.covariance: Array | None = None if covariance is None else _frozen(covariance)
        self.dof = float(dof)
        self.lower_bound = bool(lower_bound)
        faults = _matrix_faults(self.matrix) + _covariance_faults(self.covariance)
        if not self.dof > 0:
            faults.append(f"degrees of freedom are positive; received {dof!r}")
        if faults:
            raise FrameError("; ".join(faults))

    @classmethod
    def identity(cls) -> Affine:
        """Return the transform that leaves every point where it is."""
        return cls.exact(np.eye(4))

    @classmethod
    def exact(cls, matrix: npt.ArrayLike) -> Affine:
        """Return a transform that is known without error."""
        return cls(matrix, covariance=np.zeros((12, 12)))

    @classmethod
    def translation(cls, z: float = 0.0, y: float = 0.0, x: float = 0.0) -> Affine:
        """Return a shift by (z, y, x) um."""
        matrix = np.eye(4)
        matrix[:3, 3] = z, y, x
        return cls.exact(matrix)

    @classmethod
    def rotation(cls, degrees: float, *, axis: npt.ArrayLike = (1.0, 0.0, 0.0)) -> Affine:
        """Return a rotation about `axis` (z, y, x) through the origin.

        A positive angle about z takes x towards y.
        """
        unit = np.asarray(axis, dtype=float)
        length = np.linalg.norm(unit)
        if unit.shape != (3,) or not length > 0:
            raise FrameError(f"a rotation axis is three numbers (z, y, x), not all zero; received {axis!r}")
        matrix = np.eye(4)
        matrix[:3, :3] = turned(skew(np.deg2rad(degrees) * unit / length))
        return cls.exact(matrix)

    @classmethod
    def scaling(cls, z: float = 1.0, y: float = 1.0, x: float = 1.0) -> Affine:
        """Return a stretch along the axes."""
        return cls.exact(np.diag([z, y, x, 1.0]))

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map points (..., 3) in z, y, x, um."""
        positions = as_points(points)
        mapped: Array = positions @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return mapped

    def __matmul__(self, other: Affine) -> Affine:
        """Return the transform that applies `other` first.

        Independent errors add to first order; if one of the two is unknown, that of the result is, and likewise if one
        is a lower bound.
        """
        if not isinstance(other, Affine):
            return NotImplemented
        # d(A B) = dA B + A dB. With matrices read row by row, vec(dA B) = (I ⊗ Bᵀ) vec(dA) and vec(A dB) = (A ⊗ I)
        # vec(dB); the last row of an affine matrix is fixed, which leaves the upper 3 × 3 of A.
        outer = _carry(self.covariance, np.kron(np.eye(3), other.matrix.T))
        inner = _carry(other.covariance, np.kron(self.matrix[:3, :3], np.eye(4)))
        total = None if outer is None or inner is None else outer + inner
        return Affine(
            self.matrix @ other.matrix, covariance=total, dof=joint_dof((outer, self.dof), (inner, other.dof)),
            lower_bound=self.lower_bound or other.lower_bound,
        )  # fmt: skip

    def inverse(self) -> Affine:
        """Return the inverse; its covariance follows from d(A⁻¹) = -A⁻¹ dA A⁻¹."""
        # Row by row, vec(-A⁻¹ dA A⁻¹) = -(A⁻¹ ⊗ A⁻ᵀ) vec(dA).
        inverse: Array = np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)
        inverse[3] = 0.0, 0.0, 0.0, 1.0
        jacobian = -np.kron(inverse[:3, :3], inverse.T)
        covariance = _carry(self.covariance, jacobian)
        return Affine(inverse, covariance=covariance, dof=self.dof, lower_bound=self.lower_bound)

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Return the derivatives (..., 3, 3) of where points (..., 3) land: the same at every point."""
        return np.asarray(np.broadcast_to(self.matrix[:3, :3], (*as_points(points).shape, 3)))

    def with_repeatability(self, *, shift: float = 0.0, turn: float = 0.0, about: npt.ArrayLike = (0, 0, 0)) -> Affine:
        """Return the transform with the error of a stage in place of its own: what a file of a microscope does not say.

        Parameters
        ----------
        shift : float
            Standard deviation in um of the position along each axis, where the transform leads.
        turn : float
            Standard deviation in degrees of a rotation about each axis there.
        about : array_like (3,)
            Point that the rotation leaves where it is, in coordinates of the moving side: the centre of the field.

        Returns
        -------
        Affine

        Raises
        ------
        FrameError
            If a standard deviation is negative, not finite, or both are zero.

        Examples
        --------
        >>> stage = Affine.translation(x=100.0).with_repeatability(shift=0.5)
        >>> stage.covariance_at([0.0, 3.0, 4.0]).diagonal().tolist()
        [0.25, 0.25, 0.25]
        """
        if not (np.isfinite([shift, turn]).all() and min(shift, turn) >= 0 and max(shift, turn) > 0):
            raise FrameError(f"a repeatability is positive, in um and in degrees; received {shift!r} and {turn!r}")
        # dM = [ω]ₓ (M - c) + (0, t), with c the image of `about`: to first order in ω (rad) and t (um), independent
        offset = self.matrix[:3].copy()
        offset[:, 3] -= self(about)
        turns = np.stack([(skew(axis) @ offset).ravel() for axis in np.eye(3)], axis=1)
        spread = np.deg2rad(turn) ** 2 * turns @ turns.T
        spread[3::4, 3::4] += shift**2 * np.eye(3)
        return Affine(self.matrix, covariance=_symmetric(spread))

    def covariance_at(self, points: npt.ArrayLike) -> Array:
        """Return the covariance (..., 3, 3) in um² of where `points` (..., 3) land.

        Raises
        ------
        FrameError
            If the transform carries no covariance.
        """
        return self._spread(points, "...j,ijkl,...l->...ik")

    def joint_covariance(self, points: npt.ArrayLike) -> Array:
        """Return the covariance (m, 3, m, 3) in um² of where points (m, 3) land, of all with all.

        Raises
        ------
        FrameError
            If the transform carries no covariance.
        """
        return self._spread(points, "mj,ijkl,nl->mink")

    # A point p lands at M (p, 1), linear in M: cov_ik = Σ_jl p_j cov(M_ij, M_kl) q_l, exact and not first order.
    def _spread(self, points: npt.ArrayLike, sums: str) -> Array:
        if self.covariance is None:
            raise FrameError("this transform carries no covariance; register with more landmarks or give sigma")
        positions = as_points(points)
        homogeneous = np.concatenate([positions, np.ones_like(positions[..., :1])], axis=-1)
        blocks = self.covariance.reshape(3, 4, 3, 4)
        spread: Array = np.einsum(sums, homogeneous, blocks, homogeneous, optimize=True)
        return spread

    @property
    def is_uncertain(self) -> bool:
        """Whether an error is known and is not zero."""
        return self.covariance is not None and bool(self.covariance.any())

    @property
    def widening(self) -> float:
        """Factor of the standard errors so that 1.96 of them hold the truth in 95 %: Student's t over the normal."""
        return widening(self.dof)

    @property
    def scale(self) -> Array:
        """Stretch along the three principal directions, largest first."""
        stretch: Array = np.linalg.svd(self.matrix[:3, :3], compute_uv=False).astype(np.float64)
        return stretch

    @property
    def angle(self) -> float:
        """Rotation angle in degrees of the nearest rotation (polar decomposition)."""
        # The rotation nearest to U S Vᵀ is U Vᵀ (Higham, SIAM J. Sci. Stat. Comput. 7, 1160 (1986)). Its angle is taken
        # from sine and cosine together: the arccosine of the trace alone loses half the digits near 0.
        left, _, right = np.linalg.svd(self.matrix[:3, :3])
        rotation = left @ right
        sine = np.linalg.norm(rotation - rotation.T) / np.sqrt(8.0)
        return float(np.rad2deg(np.arctan2(sine, (np.trace(rotation) - 1.0) / 2.0)))

    def __repr__(self) -> str:
        shift = ", ".join(f"{value:.4g}" for value in self.matrix[:3, 3])
        return f"Affine(angle {self.angle:.4g} degrees, scale {self.scale.round(6).tolist()}, shift ({shift}) um)"


def widening(dof: float) -> float:
    """Return the 97.5 % quantile of Student's t over that of the normal distribution."""
    if np.isinf(dof):
        return 1.0
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(dof, 0.975) / ndtri(0.975))


def skew(vector: npt.ArrayLike) -> Array:
    """Return the matrix of the right-handed cross product with `vector`, for vectors in the order z, y, x."""
    z, y, x = np.asarray(vector, dtype=float)
    return np.array([[0.0, x, -y], [-x, 0.0, z], [y, -z, 0.0]])


def turned(cross: Array) -> Array:
    """Return the rotation (d, d) whose skew matrix (d, d) is `cross`, in radians; d is 2 or 3."""
    # Rodrigues' formula, exp K = 1 + sin(a)/a K + (1 - cos a)/a² K², with |K|² = 2 a²; good at an angle of 0 too
    angle = np.linalg.norm(cross) / np.sqrt(2.0)
    rotation: Array = np.eye(len(cross)) + np.sinc(angle / np.pi) * cross
    rotation += 0.5 * np.sinc(angle / (2.0 * np.pi)) ** 2 * cross @ cross
    return rotation


def kind_attrs(lower_bound: bool) -> dict[str, str]:
    """Return the attribute that says of an error that it is a lower bound; of others nothing is said."""
    return {_KIND: _LOWER_BOUND} if lower_bound else {}


def is_lower_bound(attrs: Mapping[Any, Any]) -> bool:
    """Whether attributes say so."""
    return attrs.get(_KIND) == _LOWER_BOUND


def as_points(points: npt.ArrayLike) -> Array:
    """Return points (..., 3) as numbers; refuse any other shape."""
    positions = np.asarray(points, dtype=float)
    if positions.ndim == 0 or positions.shape[-1] != 3:
        raise FrameError(f"points are (..., 3) in the order z, y, x; received shape {positions.shape}")
    return positions


def _frozen(values: npt.ArrayLike) -> Array:
    array = np.array(values, dtype=float)
    array.setflags(write=False)
    return array


def _matrix_faults(matrix: Array) -> list[str]:
    if matrix.shape != (4, 4):
        return [f"a matrix is 4 x 4 on (z, y, x, 1); received shape {matrix.shape}"]
    if not np.isfinite(matrix).all():
        return ["the matrix has entries that are not finite"]
    if not np.allclose(matrix[3], [0.0, 0.0, 0.0, 1.0], atol=1e-12):
        return [f"the last row of an affine matrix is 0 0 0 1; received {matrix[3].tolist()}"]
    stretch = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if stretch[-1] <= 1e-12 * stretch[0]:
        return ["the matrix flattens space and has no inverse"]
    return []


def _covariance_faults(covariance: Array | None) -> list[str]:
    if covariance is None:
        return []
    if covariance.shape != (12, 12):
        return [f"a covariance is 12 x 12, of the upper three rows; received shape {covariance.shape}"]
    scale = np.abs(covariance).max()
    if not np.isfinite(scale):
        return ["the covariance has entries that are not finite"]
    if np.abs(covariance - covariance.T).max() > 1e-9 * scale:
        return ["the covariance is not symmetric"]
    if np.linalg.eigvalsh(covariance)[0] < -1e-9 * scale:
        return ["the covariance has negative variances"]
    return []


def _carry(covariance: Array | None, jacobian: npt.NDArray[np.floating]) -> Array | None:
    return None if covariance is None else _symmetric(jacobian @ covariance @ jacobian.T)


def joint_dof(*estimates: tuple[Array | None, float]) -> float:
    """Return the degrees of freedom of a sum of estimated covariances, each with its own."""
    # Welch and Satterthwaite in p dimensions: (p + p²) / sum((tr Bᵢ² + (tr Bᵢ)²) / νᵢ) with Bᵢ = C⁺ Cᵢ, which does not
    # change with the units of the parameters (Krishnamoorthy and Yu, Stat. Probab. Lett. 66, 161 (2004), eq. 6).
    known = [(covariance, dof) for covariance, dof in estimates if covariance is not None]
    if all(np.isinf(dof) for _, dof in known) or len(known) < len(estimates):
        return np.inf
    total = np.sum([covariance for covariance, _ in known], axis=0)
    variances = np.diag(total)
    # what is exact has, after a rotation there and back, the rounding of the other variances, negative as well
    units = np.sqrt(np.where(variances > 1e-14 * variances.max(), variances, np.inf))
    inverse = np.linalg.pinv(total / np.outer(units, units), rcond=1e-10, hermitian=True)
    shares = [(inverse @ (covariance / np.outer(units, units)), dof) for covariance, dof in known]
    rank = float(sum(np.trace(share) for share, _ in shares))
    spread = sum((np.trace(share @ share) + np.trace(share) ** 2) / dof for share, dof in shares)
    return float((rank + rank**2) / spread)


def _symmetric(matrix: Array) -> Array:
    half: Array = (matrix + matrix.T) / 2.0
    return half
