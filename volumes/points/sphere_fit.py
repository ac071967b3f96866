"""Spheres and a smooth background fitted to an image together: bare arrays in, bare arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from volumes.points.sphere_equations import Equations, equations
from volumes.points.sphere_scene import Freedom, Scene, State

Array = npt.NDArray[np.float64]
_ROUNDS: Final = 20
_STILL: Final = 0.02
"""Fall of χ² for each sphere in the last round."""


@dataclass(frozen=True)
class Solution:
    """A fit: its state, the sum of weighted squares, the residual and the equations at that state."""

    state: State
    misfit: float
    residual: Array
    equations: Equations


def joint_fit(scene: Scene, state: State, freedom: Freedom, rounds: int = _ROUNDS) -> Solution:
    """Return the state that fits best: all spheres and the background together, by damped Gauss-Newton.

    Parameters
    ----------
    scene : Scene
    state : State
        To begin with.
    freedom : Freedom
    rounds : int
    """
    # Minimises Σ w (image - background - Σ Aᵢ S(v - cᵢ; Rᵢ))² + Σ ((Rᵢ - R) / s)². Spheres in touch share voxels, so
    # that each alone would be drawn into the light of the other; the normal equations have a block for each sphere and
    # each pair that overlaps, and are solved by conjugate gradients (K. Levenberg, Q. Appl. Math. 2, 164 (1944)).
    residual = scene.image - scene.model(state)
    misfit = _misfit(scene, residual, state, freedom)
    damping, system = 1e-3, equations(scene, state, residual, freedom)
    for _ in range(rounds):
        new = system.moved(state, damping)
        after = scene.image - scene.model(new)
        changed = _misfit(scene, after, new, freedom)
        if changed > misfit:
            damping = 10.0 * damping
            if damping > 1e3:
                break
            continue
        gain, state, residual, misfit = misfit - changed, new, after, changed
        damping = max(damping / 5.0, 1e-6)
        system = equations(scene, state, residual, freedom)
        if gain < _STILL * max(len(state.spheres), 1):
            break
    return Solution(state, misfit, residual, system)


def _misfit(scene: Scene, residual: Array, state: State, freedom: Freedom) -> float:
    of_radii = ((state.spheres[:, 4] - freedom.radius) ** 2).sum() / freedom.scatter**2 if freedom.radii else 0.0
    return float((scene.weight * residual**2).sum() + of_radii)
