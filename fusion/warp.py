"""Smooth maps of space beside the affine ones, with their error at any point.

Points are (..., 3) arrays in the order z, y, x and in micrometres. A transform maps the moving dataset onto the fixed
one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fusion.affine import Affine, as_points, is_lower_bound, kind_attrs, widening
from fusion.errors import FrameError
from fusion.kriging import Kernel, Kriging

Array = npt.NDArray[np.float64]


class Warp:
    """A smooth map of space: affine transforms and bends, one after the other.

    `fusion.register_landmarks` with ``model="warp"`` makes one, and it composes with affine transforms by ``@``.

    Parameters
    ----------
    *steps : Affine or Bend
        The one that is applied first comes first.

    Examples
    --------
    >>> corners = np.array([[y, x] for y in (0.0, 5.0, 10.0) for x in (0.0, 5.0, 10.0)])
    >>> bent = corners + 0.02 * (corners - 5.0) ** 2
    >>> from fusion import register_landmarks
    >>> warp = register_landmarks(corners, bent, model="warp", sigma=0.01).transform
    >>> turned = Affine.rotation(90.0) @ warp
    >>> turned.inverse()(turned([0.0, 2.0, 3.0])).round(6)
    array([0., 2., 3.])
    """

    __array_ufunc__ = None  # numpy leaves the operator @ to this class

    def __init__(self, *steps: Affine | Bend) -> None:
        if not any(isinstance(step, Bend) for step in steps):
            raise FrameError("a warp has at least one bend; without one it is a fusion.Affine")
        self.steps: tuple[Affine | Bend, ...] = steps

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map points (..., 3) in z, y, x, um; NaN where a bend turned round has no inverse."""
        landed = as_points(points)
        for step in self.steps:
            landed = step(landed)
        return landed

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Return the derivatives (..., 3, 3) of where points land: rows of the image, columns of the point."""
        landed = as_points(points)
        total = np.broadcast_to(np.eye(3), (*landed.shape, 3))
        for step in self.steps:
            total, landed = step.jacobian(landed) @ total, step(landed)
        return np.asarray(total)

    def covariance_at(self, points: npt.ArrayLike, *, outside: bool = False) -> Array:
        """Return the covariance (..., 3, 3) in um² of where points (..., 3) land, to first order.

        Parameters
        ----------
        points : array_like (..., 3)
        outside : bool
            Whether to state one beyond the convex hull of the landmarks too, where nothing vouches that the map goes
            on as it does within; else it is NaN there.

        Raises
        ------
        FrameError
            If an affine step carries no covariance.
        """
        landed = as_points(points)
        total = np.zeros((*landed.shape, 3))
        for step in self.steps:
            slope = step.jacobian(landed)
            own = step.covariance_at(landed, outside=outside) if isinstance(step, Bend) else step.covariance_at(landed)
            total, landed = slope @ total @ slope.swapaxes(-1, -2) + own, step(landed)
        return total

    def joint_covariance(self, points: npt.ArrayLike) -> Array:
        """Return the covariance (m, 3, m, 3) in um² of where points (m, 3) land, of all with all, to first order.

        Also beyond the hull of the landmarks, as `covariance_at` with ``outside``.
        """
        landed = as_points(points)
        total = np.zeros((*landed.shape, *landed.shape))
        for step in self.steps:
            slope = step.jacobian(landed)
            carried = np.einsum("mab,mbnc->manc", slope, total)
            total, landed = np.einsum("manc,ndc->mand", carried, slope) + step.joint_covariance(landed), step(landed)
        return total

    def within(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return whether points (..., 3) pass through the hull of the landmarks of every bend, which vouch for it."""
        landed = as_points(points)
        inside = np.ones(landed.shape[:-1], bool)
        for step in self.steps:
            if isinstance(step, Bend):
                inside &= step.within(step.moving(landed)).reshape(inside.shape)
            landed = step(landed)
        return inside

    def tangent(self, point: npt.ArrayLike) -> Affine:
        """Return the affine map with the value and the derivative of the warp at a point (3,), its error unknown."""
        at = as_points(point)
        matrix = np.eye(4)
        matrix[:3, :3] = self.jacobian(at)
        matrix[:3, 3] = self(at) - matrix[:3, :3] @ at
        return Affine(matrix)

    def inverse(self) -> Warp:
        """Return the inverse, which is found numerically where it is evaluated."""
        return Warp(*(step.inverse() for step in reversed(self.steps)))

    def __matmul__(self, other: Affine | Warp) -> Warp:
        """Return the transform that applies `other` first; the errors of the two are taken as independent."""
        if not isinstance(other, Affine | Warp):
            return NotImplemented
        return Warp(*_merged(_steps(other) + self.steps))

    def __rmatmul__(self, other: Affine) -> Warp:
        if not isinstance(other, Affine):
            return NotImplemented
        return Warp(*_merged((*self.steps, other)))

    @property
    def dof(self) -> float:
        """Degrees of freedom behind the covariance: the fewest of any step; infinite where all errors are known."""
        return min(step.dof for step in self.steps)

    @property
    def lower_bound(self) -> bool:
        """Whether the error may be larger than the covariance says: whether that of a step may."""
        return any(isinstance(step, Affine) and step.lower_bound for step in self.steps)

    @property
    def widening(self) -> float:
        """Factor of the standard errors so that 1.96 of them hold the truth in 95 %: Student's t over the normal."""
        return widening(self.dof)

    @property
    def is_uncertain(self) -> bool:
        """Whether an error is known at all points: whether no step is without one."""
        return all(isinstance(step, Bend) or step.covariance is not None for step in self.steps)

    def __repr__(self) -> str:
        bends = [step for step in self.steps if isinstance(step, Bend)]
        count = sum(len(bend.process.moving) for bend in bends)
        return f"Warp({count} landmarks, {len(self.steps)} steps)"


Transform: TypeAlias = Affine | Warp
"""What leads from one dataset to another."""


@dataclass(frozen=True)
class Bend:
    """A Gaussian process through landmarks as a map of space, or its inverse.

    Parameters
    ----------
    process : Kriging
        In two dimensions it leaves z as it is, exactly.
    dof : float
        Degrees of freedom of an estimated error of the landmarks; infinite where that was known.
    turned : bool
        Whether this is the inverse of the process.
    """

    process: Kriging
    dof: float = np.inf
    turned: bool = False

    def __call__(self, points: Array) -> Array:
        """Map points (..., 3)."""
        landed = points.copy()
        flat = points[..., self._axes].reshape(-1, self.process.dim)
        found = self.process.sources(flat) if self.turned else self.process(flat)
        landed[..., self._axes] = found.reshape(landed[..., self._axes].shape)
        return landed

    def jacobian(self, points: Array) -> Array:
        """Return the derivatives (..., 3, 3)."""
        slopes = np.array(np.broadcast_to(np.eye(3), (*points.shape, 3)))
        inner = self.process.jacobian(self.moving(points))
        if self.turned:
            inner = np.asarray(np.linalg.inv(inner), dtype=np.float64)
        slopes[..., self._axes, self._axes] = inner.reshape(*points.shape[:-1], *inner.shape[1:])
        return slopes

    # With y = g(x) and x looked for, an error dg of g moves x by -J⁻¹ dg: C = J⁻¹ C_g J⁻ᵀ at x.
    def covariance_at(self, points: Array, *, outside: bool) -> Array:
        """Return the covariance (..., 3, 3) in um²; NaN outside the hull of the landmarks unless asked."""
        at = self.moving(points)
        inner = self.process.covariance_at(at)
        if self.turned:
            back = np.asarray(np.linalg.inv(self.process.jacobian(at)), dtype=np.float64)
            inner = back @ inner @ back.swapaxes(1, 2)
        if not outside:
            inner[~self.within(at)] = np.nan
        spread = np.zeros((*points.shape, 3))
        spread[..., self._axes, self._axes] = inner.reshape(*points.shape[:-1], *inner.shape[1:])
        return spread

    def joint_covariance(self, points: Array) -> Array:
        """Return the covariance (m, 3, m, 3) in um² of where points (m, 3) land, of all with all."""
        at = self.moving(points)
        inner = self.process.joint_covariance(at)
        if self.turned:
            back = np.linalg.inv(self.process.jacobian(at))
            inner = np.einsum("mab,mbnc,ndc->mand", back, inner, back, optimize=True)
        spread = np.zeros((*points.shape, *points.shape))
        spread[:, self._axes, :, self._axes] = inner
        return spread

    def inverse(self) -> Bend:
        """Return the map in the other direction."""
        return replace(self, turned=not self.turned)

    def within(self, points: Array) -> npt.NDArray[np.bool_]:
        """Whether points (m, d) of the moving side lie in the convex hull of the landmarks."""
        known = np.asarray(np.isfinite(points).all(axis=1))
        return np.asarray(known & (self._hull.find_simplex(np.where(known[:, None], points, 0.0)) >= 0))

    def moving(self, points: Array) -> Array:
        """Return points (m, d) of the moving side that belong to points (..., 3) of the side this starts from."""
        flat = points[..., self._axes].reshape(-1, self.process.dim)
        return self.process.sources(flat) if self.turned else flat

    @property
    def _axes(self) -> slice:
        return slice(3 - self.process.dim, 3)

    @cached_property
    def _hull(self) -> Any:
        from scipy.spatial import Delaunay

        return Delaunay(self.process.moving)


def _steps(transform: Transform) -> tuple[Affine | Bend, ...]:
    return transform.steps if isinstance(transform, Warp) else (transform,)


def _merged(steps: tuple[Affine | Bend, ...]) -> list[Affine | Bend]:
    """Return the steps with neighbouring affine ones composed."""
    merged: list[Affine | Bend] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, Affine) and isinstance(last, Affine):
            merged[-1] = step @ last
        else:
            merged.append(step)
    return merged


def as_text(warp: Warp) -> str:
    """Return a warp as JSON, which keeps every number exactly."""
    return json.dumps([_described(step) for step in warp.steps], default=np.ndarray.tolist)


def from_text(text: str) -> Warp:
    """Return the warp that `as_text` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the text is damaged.
    """
    return Warp(*(_step(described) for described in json.loads(text)))


def as_parameters(transform: Transform | None) -> dict[str, Any]:
    """Return a transform as parameters of a step on record (`fusion.provenance`); of None there are none."""
    if isinstance(transform, Warp):
        return {"warp": [_described(step) for step in transform.steps]}
    if transform is None:
        return {}
    return {name: getattr(transform, name) for name in ("matrix", "covariance", "dof")} | kind_attrs(
        transform.lower_bound
    )


def from_parameters(parameters: Mapping[str, Any]) -> tuple[Transform | None, dict[str, Any]]:
    """Return the transform that `as_parameters` described, and the other parameters of the step."""
    own = ("warp", "matrix", "covariance", "dof", *kind_attrs(True))
    others = {key: value for key, value in parameters.items() if key not in own}
    if "warp" in parameters:
        steps = parameters["warp"]  # text in records of older files
        return from_text(steps) if isinstance(steps, str) else Warp(*map(_step, steps)), others
    if "matrix" not in parameters:
        return None, others
    return _affine(parameters), others


def _described(step: Affine | Bend) -> dict[str, Any]:
    dof = {} if np.isinf(step.dof) else {"dof": step.dof}
    if isinstance(step, Affine):
        spread = {} if step.covariance is None else {"covariance": step.covariance}
        return {"matrix": step.matrix, **spread, **dof, **kind_attrs(step.lower_bound)}
    process = step.process
    arrays = {name: getattr(process, name) for name in ("moving", "fixed", "covariance")}
    return {**arrays, "kernels": [list(kernel) for kernel in process.kernels], "turned": step.turned, **dof}


def _affine(described: Mapping[str, Any]) -> Affine:
    return Affine(
        described["matrix"], covariance=described.get("covariance"), dof=float(described.get("dof", np.inf)),
        lower_bound=is_lower_bound(described),
    )  # fmt: skip


def _step(described: Mapping[str, Any]) -> Affine | Bend:
    if "matrix" in described:
        return _affine(described)
    arrays = [np.array(described[name], dtype=float) for name in ("moving", "fixed", "covariance")]
    kernels = tuple(Kernel(*map(float, kernel)) for kernel in described["kernels"])
    dof = float(described.get("dof", np.inf))
    return Bend(Kriging(arrays[0], arrays[1], arrays[2], kernels), dof=dof, turned=bool(described["turned"]))
