"""Whether landmarks spread beyond their error in as many directions as a model needs."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fusion.registration.pairs import Pairs
from fusion.registration.result import Model

Array = npt.NDArray[np.float64]
_BY_CHANCE: Final = 0.002
"""Probability that landmarks on a line or plane are taken for a set that leaves it, by one side."""
_BY_ESTIMATE: Final = 0.02
"""The same where their error is estimated, from both sides together, and is too large for either."""
_ROUNDS: Final = 5


def is_flat(pairs: Pairs, model: Model, scale: float, dof: float) -> bool:
    """Whether the landmarks of both sides are compatible with a line, or a plane, that leaves the model open.

    Parameters
    ----------
    pairs : Pairs
    model : str
        A turn needs a line (in a plane) or a plane (in space); an affine map needs all directions.
    scale : float
        Factor of the covariances.
    dof : float
        Degrees of freedom of an estimated factor; infinite where it is known.
    """
    needed = pairs.dim if model == "affine" else pairs.dim - 1
    sides = (pairs.moving[:, -pairs.columns :], pairs.moving_covariance), (pairs.fixed, pairs.fixed_covariance)
    tests = [
        _beyond(points, scale * spread[:, -points.shape[1] :, -points.shape[1] :], needed, dof)
        for points, spread in sides
        if np.linalg.eigvalsh(spread.mean(axis=0))[-points.shape[1] :].min() > 0 and points.shape[1] >= needed
    ]
    return bool(tests) and min(tests) > (_BY_CHANCE if np.isinf(dof) else _BY_ESTIMATE)


def _beyond(points: Array, covariance: Array, needed: int, dof: float) -> float:
    """Return the probability that points of a flat of `needed` - 1 directions scatter so far from it."""
    # With V the d - q directions across a flat of q = needed - 1 directions, the sum of t' (V' Cᵢ V)⁻¹ t over the
    # points, t = V' (xᵢ - c), is chi-squared with (n - 1 - q)(d - q) degrees of freedom where it is least: the flat has
    # (q + 1)(d - q) parameters. Directions across are the last principal ones, of points over their mean error; weights
    # are renewed as the directions change.
    from scipy.special import chdtrc, fdtrc

    count, dim = points.shape
    across, free = dim - needed + 1, (count - needed) * (dim - needed + 1)
    root = np.linalg.inv(np.linalg.cholesky(covariance.mean(axis=0)))
    white, spread = points @ root.T, root @ covariance @ root.T
    weight = np.ones(count)
    for _ in range(_ROUNDS):
        centred = white - np.average(white, axis=0, weights=weight)
        basis = np.linalg.eigh((weight[:, None] * centred).T @ centred)[1][:, :across]
        own = basis.T @ spread @ basis
        weight = across / np.trace(own, axis1=1, axis2=2)
    off = centred @ basis
    square = float((off * np.linalg.solve(own, off[..., None])[..., 0]).sum())
    return float(chdtrc(free, square) if np.isinf(dof) else fdtrc(free, dof, square / free))
