"""The spheres of an image: seeds, then a joint fit that adds what is missed and removes what is not there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from fusion.progress import Progress
from volumes.points.seeds import missed, seeds
from volumes.points.sphere_fit import Solution, joint_fit
from volumes.points.sphere_profile import Table, profile_table
from volumes.points.sphere_scene import Freedom, Scene, State

Array = npt.NDArray[np.float64]
_CYCLES: Final = 8
_LEAST: Final = 0.4
"""Share of its neighbours' brightness that a sphere has."""
_FAINT: Final = 0.2
"""Share of the typical brightness that a missed sphere has in the residual: its neighbours have taken in its light."""
_APART: Final = 1.3
"""Least distance of two centres, in radii."""
_SCATTER: Final = 0.2
"""Standard deviation of radii about their mean, as a share of it, that is expected before they are fitted."""
_LOOSE: Final = 6
"""Rounds of the fit while spheres are still added."""


@dataclass(frozen=True)
class Optics:
    """The mean radius of the spheres and the blur along z and across it, in um, the voxels' own width left out.

    `radius_error` is the standard error of the mean radius, beside a common brightness and background.
    """

    radius: float
    axial: float
    lateral: float
    radius_error: float = np.nan

    def table(self, step: Array) -> Table:
        """Return the profiles for radii about the mean; a voxel adds the variance of its width."""
        axial, lateral = np.hypot(self.axial, step[0] / 12**0.5), np.hypot(self.lateral, step[1] / 12**0.5)
        return profile_table(0.5 * self.radius, 1.6 * self.radius, max(axial, lateral), lateral)


def found_spheres(
    image: Array, weight: Array, step: Array, optics: Optics, *, known_blur: bool, polydisperse: bool,
    progress: Progress,
) -> tuple[Scene, Solution, Optics]:  # fmt: skip
    """Return the fit of all bright spheres in an image, with the scene and the optics that it ended with."""
    # Seeds come from the image less the level of each slice, a low quantile, which a wall or fading light would
    # otherwise make blobs of. Fits are loose while spheres are added: each one that is missed bends its neighbours.
    scene = scene_of(image, weight, step, optics)
    slices = np.quantile(image, 0.2, axis=(1, 2))
    flat = image - slices[:, None, None]
    start = seeds(flat, step, optics.radius, (optics.axial, optics.lateral), 1.0 / np.sqrt(weight.max()))
    brightness = np.full(len(start), np.quantile(flat, 0.95))
    spheres = np.column_stack([start, brightness, np.full(len(start), optics.radius)])
    state = State(spheres, np.zeros(scene.lattice), slices)
    solution = None
    for cycle in range(_CYCLES):
        solution = joint_fit(scene, state, Freedom(False, optics.radius, 1.0), _LOOSE)
        state, changes = _revised(scene, solution, optics)
        if not known_blur and len(state.spheres):
            scene, state, optics = _sharpened(scene, state, optics, known_blur)
        scene = replace(scene, weight=_reweighted(scene, solution))
        progress(0.7 * (cycle + 1) / _CYCLES)
        if not changes and cycle > 1:
            break
    result = _final(scene, state, optics, known_blur, polydisperse)
    progress(1.0)
    return result


def scene_of(image: Array, weight: Array, step: Array, optics: Optics) -> Scene:
    """Return the image with the table of profiles and a lattice of the background that is coarser than a sphere."""
    table = optics.table(step)
    nodes = np.maximum(2.0 * table.reach, 4.0 * optics.radius) / step + 1.0
    return Scene(image, weight, step, table, np.minimum(nodes, np.maximum(np.array(image.shape) - 1.0, 1.0)))


def _revised(scene: Scene, solution: Solution, optics: Optics) -> tuple[State, int]:
    """Return the state without spheres that are too faint or within another, and with those that the residual shows."""
    from scipy.spatial import cKDTree

    spheres = solution.state.spheres
    kept = spheres[_plausible(spheres, optics.radius)]
    places, brightness = missed(solution.residual, scene.weight, scene.table, scene.step, optics.radius)
    typical = float(np.median(kept[:, 3])) if len(kept) else 0.0
    far = brightness > _FAINT * typical
    if len(kept):
        far &= cKDTree(kept[:, :3]).query(places, 1)[0] > _APART * optics.radius if len(places) else far
    new = _apart(np.column_stack([places[far], brightness[far], np.full(far.sum(), optics.radius)]), optics.radius)
    state = replace(solution.state, spheres=np.concatenate([kept, new]))
    return state, len(spheres) - len(kept) + len(new)


# Particles of one kind are alike where they are near each other, whatever the light is elsewhere.
def _plausible(spheres: Array, radius: float) -> npt.NDArray[np.bool_]:
    """Return which spheres are as bright as their neighbours, and lie in no brighter one."""
    from scipy.spatial import cKDTree

    if not len(spheres):
        return np.zeros(0, bool)
    tree = cKDTree(spheres[:, :3])
    _, near = tree.query(spheres[:, :3], min(12, len(spheres)))
    typical = np.median(spheres[:, 3][near.reshape(len(spheres), -1)], axis=1)
    good = spheres[:, 3] > _LEAST * np.maximum(typical, 0.0)
    for first, second in tree.query_pairs(_APART * radius):
        if good[first] and good[second]:
            good[first if spheres[first, 3] < spheres[second, 3] else second] = False
    return np.asarray(good & (spheres[:, 3] > 0))


def _apart(spheres: Array, radius: float) -> Array:
    """Return those of a list, the best first, that lie in none before them."""
    kept: list[int] = []
    for n, sphere in enumerate(spheres):
        if not kept or np.linalg.norm(spheres[kept, :3] - sphere[:3], axis=1).min() > _APART * radius:
            kept.append(n)
    return spheres[kept]


# Blur, radius and brightness act alike on the edge of a sphere, and on all spheres alike: their common part is fitted
# with all spheres at once, by least squares in images of what a small change of each would add. The mean of radii that
# are fitted apart would be biased where noise makes each of them uncertain.
def _sharpened(scene: Scene, state: State, optics: Optics, known_blur: bool) -> tuple[Scene, State, Optics]:
    """Return the scene, the state and the optics after one step towards those that explain the image best."""
    model = scene.model(state)
    empty = scene.model(replace(state, spheres=state.spheres[:0]))
    changed = [replace(optics, radius=1.02 * optics.radius)]
    if not known_blur:
        changed += [replace(optics, axial=1.05 * optics.axial), replace(optics, lateral=1.05 * optics.lateral)]
    images = [
        _with_optics(scene, state, each)[0].model(_with_optics(scene, state, each)[1]) - model for each in changed
    ]
    columns = np.stack([each.ravel() for each in (*images, 0.05 * (model - empty), np.ones_like(model))])
    weighted = columns * scene.weight.ravel()
    inverse = np.linalg.pinv(weighted @ columns.T, rcond=1e-12, hermitian=True)
    steps = inverse @ (weighted @ (scene.image - model).ravel())
    radius, axial, lateral = 1.0 + np.clip(np.append(steps, [0, 0])[:3] * [0.02, 0.05, 0.05], -0.2, 0.2)
    if known_blur:
        axial = lateral = 1.0
    found = Optics(
        optics.radius * float(radius), optics.axial * float(axial), optics.lateral * float(lateral),
        0.02 * optics.radius * float(np.sqrt(inverse[0, 0])),
    )  # fmt: skip
    found = replace(found, axial=max(found.axial, found.lateral))
    return (*_with_optics(scene, state, found), found)


def _with_optics(scene: Scene, state: State, optics: Optics) -> tuple[Scene, State]:
    spheres = np.column_stack([state.spheres[:, :4], np.full(len(state.spheres), optics.radius)])
    return replace(scene, table=optics.table(scene.step)), replace(state, spheres=spheres)


# The noise of a camera or of photons grows with the light: variance = a + b × model, a line through the squares of the
# residuals in classes of the model. Their median, over that of a χ² of one degree of freedom, 0.455, is not spoilt by
# spheres that are still missed.
def _reweighted(scene: Scene, solution: Solution) -> Array:
    """Return one over the variance of the noise of each voxel."""
    seen = scene.weight > 0
    model, square = (scene.image - solution.residual)[seen], solution.residual[seen] ** 2
    if not square.any():
        return scene.weight
    order = np.array_split(np.argsort(model), 20)
    level = np.array([model[part].mean() for part in order])
    variance = np.array([np.median(square[part]) / 0.455 for part in order])
    slope, constant = np.polyfit(level, variance, 1, w=1.0 / np.maximum(variance, 1e-3 * variance.max()))
    fitted = np.maximum(constant + slope * (scene.image - solution.residual), 0.1 * np.median(variance))
    return np.where(seen, 1.0 / np.maximum(fitted, np.finfo(float).tiny), 0.0)


def _final(
    scene: Scene, state: State, optics: Optics, known_blur: bool, polydisperse: bool
) -> tuple[Scene, Solution, Optics]:
    """Return the converged fit: with radii of their own, or with the one radius of all."""
    for _ in range(3):
        if len(state.spheres):
            scene, state, optics = _sharpened(scene, state, optics, known_blur)
        solution = joint_fit(scene, state, Freedom(False, optics.radius, 1.0), _LOOSE)
        kept = _plausible(solution.state.spheres, optics.radius)
        state = replace(solution.state, spheres=solution.state.spheres[kept])
    freedom = Freedom(polydisperse, optics.radius, _SCATTER * optics.radius)
    for _ in range(2 if polydisperse and len(state.spheres) else 1):
        solution = joint_fit(scene, state, freedom)
        state, freedom = solution.state, replace(freedom, radius=_mean_radius(scene, solution.state))
    return scene, solution, optics


def _mean_radius(scene: Scene, state: State) -> float:
    """Return the mean radius of the spheres that lie within the image, or of all where none does."""
    spheres = state.spheres
    last = (np.array(scene.image.shape) - 1.0) * scene.step
    inside = ((spheres[:, :3] > spheres[:, 4:]) & (spheres[:, :3] < last - spheres[:, 4:])).all(axis=1)
    return float(spheres[inside if inside.any() else slice(None), 4].mean()) if len(spheres) else np.nan
