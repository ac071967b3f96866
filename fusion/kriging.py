"""A smooth map through noisy landmarks as a Gaussian process: where any point lands, and how well that is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.progress import counted

Array = npt.NDArray[np.float64]
_ROOT5: Final = 5.0**0.5
_BLOCK: Final = 1 << 10
"""Points whose error is computed at a time."""
_NEWTON_STEPS: Final = 40
_CLOSE: Final = 1e-12
"""Of the extent of the landmarks: how far the image of an inverse may lie from the point."""


class Kernel(NamedTuple):
    """A Matérn 5/2 covariance and the factor of the noise, with the posterior probability of both.

    Parameters
    ----------
    weight : float
        The probability.
    amplitude : float
        Standard deviation in um of the bending along each axis.
    length : float
        In um.
    noise : float
        Factor of the covariances of the landmarks.
    """

    weight: float
    amplitude: float
    length: float
    noise: float


@dataclass(frozen=True)
class Kriging:
    """An affine map plus a Gaussian process, conditioned on landmarks: universal kriging.

    Parameters
    ----------
    moving, fixed : ndarray (n, d)
        Landmarks in um.
    covariance : ndarray (n, d, d)
        Of each pair in the fixed frame, in um², before the factor `noise` of a kernel.
    kernels : tuple of Kernel
        A mixture, their weights sum to one.

    Notes
    -----
    Wahba, Spline Models for Observational Data (1990), ch. 1; Cressie, Statistics for Spatial Data (1993), sec. 3.4.
    """

    moving: Array
    fixed: Array
    covariance: Array
    kernels: tuple[Kernel, ...]

    @property
    def dim(self) -> int:
        """The dimension of space: 2 for a map within a plane."""
        return int(self.moving.shape[1])

    @cached_property
    def centre(self) -> Array:
        """The centroid of the moving landmarks, from which the affine part is counted."""
        return np.asarray(self.moving.mean(axis=0))

    @property
    def affine(self) -> Array:
        """The affine part (d, d + 1): what the map is far from the landmarks."""
        drift = self._coefficients[0]
        return np.column_stack([drift[:-1].T, drift[-1] - self.centre @ drift[:-1]])

    def __call__(self, points: Array) -> Array:
        """Return where points (m, d) land on average over the kernels."""
        return self._evaluated(points)[0]

    def jacobian(self, points: Array) -> Array:
        """Return the derivatives (m, d, d) of where points (m, d) land: rows of the image, columns of the point."""
        return self._evaluated(points)[1]

    def sources(self, points: Array) -> Array:
        """Return the points (m, d) that land on `points` (m, d); NaN where nothing leads to them."""
        from fusion import _kriging_kernels as kernels

        found = np.ascontiguousarray(np.column_stack([points, np.ones(len(points))]) @ self._straight_back)
        limit = _CLOSE * float(np.ptp(self.fixed, axis=0).max() + np.abs(self.fixed).max())
        far = np.empty(len(points))
        kernels.find_sources(np.ascontiguousarray(points), self._map, limit, _NEWTON_STEPS, found, far)
        return np.where((far <= 1e3 * limit)[:, None], found, np.nan)

    # The drift is what the map does far away; it may even be mirrored, and is then no start for Newton's steps.
    @cached_property
    def _straight_back(self) -> Array:
        """The affine map (d + 1, d) that leads fixed landmarks nearest to the moving ones, by least squares."""
        design = np.column_stack([self.fixed, np.ones(len(self.fixed))])
        return np.asarray(np.linalg.lstsq(design, self.moving, rcond=None)[0])

    def _evaluated(self, points: Array) -> tuple[Array, Array]:
        """Return where points (m, d) land, and the derivatives (m, d, d) there."""
        from fusion import _kriging_kernels as kernels

        values, slopes = np.empty(points.shape), np.empty((*points.shape, self.dim))
        kernels.evaluate(np.ascontiguousarray(points), self._map, values, slopes)
        return values, slopes

    @cached_property
    def _map(self) -> tuple[Array, Array, Array, Array, Array]:
        """The map as kernels take it: centre, drift, landmarks, lengths, and the weights for each length."""
        drift, bending = self._coefficients
        lengths = np.array([length for length, _ in bending])
        return self.centre, drift, np.ascontiguousarray(self.moving), lengths, np.array([each for _, each in bending])

    # The error of the mixture is the mean of the errors of its kernels plus the scatter of where they lead.
    def covariance_at(self, points: Array) -> Array:
        """Return the covariance (m, d, d) in um² of where points (m, d) land."""
        mean, total = self(points), np.zeros((len(points), self.dim, self.dim))
        for kernel in counted(self.kernels, "error of a warp", "kernels"):
            system = System(self, kernel)
            for block in _blocks(len(points)):
                off = system.landed(points[block]) - mean[block]
                spread = system.spread(points[block])
                total[block] += kernel.weight * (spread + off[:, :, None] * off[:, None, :])
        return (total + total.swapaxes(1, 2)) / 2.0

    def joint_covariance(self, points: Array) -> Array:
        """Return the covariance (m, d, m, d) in um² of where points (m, d) land, of all with all."""
        mean, total = self(points), np.zeros((points.size, points.size))
        for kernel in self.kernels:
            system = System(self, kernel)
            off = (system.landed(points) - mean).ravel()
            total += kernel.weight * (system.joint_spread(points) + np.outer(off, off))
        return ((total + total.T) / 2.0).reshape(*points.shape, *points.shape)

    @cached_property
    def _coefficients(self) -> tuple[Array, list[tuple[float, Array]]]:
        """Return the drift (d + 1, d), and the weights (n, d) of the landmarks for each length of the kernels."""
        drift = np.zeros((self.dim + 1, self.dim))
        bending: dict[float, Array] = {}
        for kernel in self.kernels:
            system = System(self, kernel)
            drift += kernel.weight * system.drift
            share = kernel.weight * kernel.amplitude**2 * system.weights
            bending[kernel.length] = bending.get(kernel.length, np.zeros_like(share)) + share
        return drift, list(bending.items())

    def apart(self, points: Array) -> Array:
        """Return the distances (m, n) of points from the landmarks."""
        return np.asarray(np.linalg.norm(points[:, None] - self.moving, axis=2))

    def homogeneous(self, points: Array) -> Array:
        """Return points (m, d + 1) about the centroid of the landmarks, with a one each."""
        return np.concatenate([points - self.centre, np.ones((len(points), 1))], axis=1)


class System:
    """The equations of one kernel; numbers run over landmark and axis, the axis fastest.

    With K the covariance of the fixed landmarks and F their drift, the affine part is that of generalised least
    squares, (F' K⁻¹ F)⁻¹ F' K⁻¹ y, and the landmarks have the weights K⁻¹ (y - F b).
    """

    def __init__(self, process: Kriging, kernel: Kernel) -> None:
        from scipy.linalg import cho_factor

        self.process, self.kernel = process, kernel
        dim, count = process.dim, len(process.moving)
        total = kernel.amplitude**2 * np.kron(matern(process.apart(process.moving), kernel.length), np.eye(dim))
        blocks = total.reshape(count, dim, count, dim)
        rows = np.arange(count)
        blocks[rows, :, rows, :] += kernel.noise * process.covariance
        self.factor = cho_factor(total, lower=True)
        design = np.asarray(np.kron(process.homogeneous(process.moving), np.eye(dim)), dtype=np.float64)
        self.solved = self._solve(design)
        self.of_drift = np.linalg.inv(design.T @ self.solved)
        self.onto = process.fixed.mean(axis=0)
        values = (process.fixed - self.onto).ravel()
        coefficients = self.of_drift @ (self.solved.T @ values)
        self.weights = self._solve(values - design @ coefficients).reshape(count, dim)
        self.drift = coefficients.reshape(dim + 1, dim)
        self.drift[-1] += self.onto

    def _solve(self, right: Array) -> Array:
        from scipy.linalg import cho_solve

        return np.asarray(cho_solve(self.factor, right))

    def landed(self, points: Array) -> Array:
        """Return where points (m, d) land."""
        near = self.kernel.amplitude**2 * matern(self.process.apart(points), self.kernel.length)
        return np.asarray(self.process.homogeneous(points) @ self.drift + near @ self.weights)

    # k(0) less what the landmarks tell, plus the error of the affine part:
    # k(0) I - k' K⁻¹ k + (f - F' K⁻¹ k)' (F' K⁻¹ F)⁻¹ (f - F' K⁻¹ k); Cressie (1993), eq. 3.4.14.
    def spread(self, points: Array) -> Array:
        """Return the covariance (m, d, d) of where points land."""
        dim, count = self.process.dim, len(points)
        explained, drift = (part.reshape(count, dim, -1) for part in self._known(points))
        prior = self.kernel.amplitude**2 * np.eye(dim)
        return np.asarray(prior - explained @ explained.swapaxes(1, 2) + drift @ drift.swapaxes(1, 2))

    def joint_spread(self, points: Array) -> Array:
        """Return the covariance (m d, m d) of where points land, of all with all."""
        explained, drift = self._known(points)
        apart = np.linalg.norm(points[:, None] - points, axis=2)
        prior = self.kernel.amplitude**2 * np.kron(matern(apart, self.kernel.length), np.eye(self.process.dim))
        return np.asarray(prior - explained @ explained.T + drift @ drift.T)

    def _known(self, points: Array) -> tuple[Array, Array]:
        """Return factors (m d, n d) of what the landmarks explain and (m d, parameters) of the error of the drift."""
        from scipy.linalg import solve_triangular

        dim = self.process.dim
        correlation = matern(self.process.apart(points), self.kernel.length)
        near = self.kernel.amplitude**2 * np.kron(correlation, np.eye(dim))
        explained = solve_triangular(self.factor[0], near.T, lower=True).T
        left = np.kron(self.process.homogeneous(points), np.eye(dim)) - near @ self.solved
        return np.asarray(explained), np.asarray(left @ np.linalg.cholesky(self.of_drift))

    # With P = K⁻¹ - K⁻¹ F (F' K⁻¹ F)⁻¹ F' K⁻¹ and Pᵢ its block of one landmark, it lies Pᵢ⁻¹ (P y)ᵢ from where the
    # others place it, with the covariance Pᵢ⁻¹ (Dubrule, Math. Geol. 15, 687 (1983), in blocks).
    def left_out(self) -> tuple[Array, Array]:
        """Return how far each landmark (n, d) lies from where the others place it, and that over its error, squared."""
        count, dim = self.process.moving.shape
        projection = self._solve(np.eye(count * dim)) - self.solved @ self.of_drift @ self.solved.T
        rows = np.arange(count)
        blocks = projection.reshape(count, dim, count, dim)[rows, :, rows, :]
        off = np.asarray(np.linalg.solve(blocks, self.weights[..., None])[..., 0], dtype=np.float64)
        return off, np.asarray((self.weights * off).sum(axis=1))


def matern(apart: Array, length: float) -> Array:
    """Return the correlation at a distance: (1 + s + s²/3) exp(-s) with s = √5 r / l; twice differentiable."""
    scaled = _ROOT5 * apart / length
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
