"""Projection matching: views are compared with what a volume made of other views predicts for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.progress import counted
from volumes.tomography.common_line import without_gauge
from volumes.tomography.moving import Motion, moved
from volumes.tomography.projector import Projector
from volumes.tomography.solvers import cgls

Array = npt.NDArray[Any]
Start = Callable[[Array, Array, float], Motion]
_SOLVER_ROUNDS: Final = 8
_FOLDS: Final = 2
_GROUPS: Final = 5
"""Groups of slices in which the direction is found independently, for its error."""
_BLOCKS: Final = 6
"""Blocks of slices whose parts of a step are taken as independent: wider than what the Gaussian correlates."""
_SMOOTH_TILT: Final = 15.0
"""Degrees over which the variances of shifts are averaged."""
_THINNEST: Final = 3
_ROUNDS: Final = 4
_SMOOTH: Final = 1.0
"""Standard deviation in pixels of the Gaussian over the views."""
_STEPS: Final = (1.5, 1.0)
"""Degrees between the directions that are compared, first and last."""


class Matched(NamedTuple):
    """A motion with its errors.

    Attributes
    ----------
    motion : Motion
    rotation_error : float
    shift_errors : (views, 2) array
    residual : float
        What the volume of the other views does not predict, as a share of the norm of the views.
    """

    motion: Motion
    rotation_error: float
    shift_errors: Array
    residual: float


def match(views: Array, angles: Array, candidates: Sequence[float], start: Start) -> Matched:
    """Return the direction that lets views predict each other best, and the shifts, with errors.

    Parameters
    ----------
    views : (views, across, along) array
    angles : (views,) array
        In degrees.
    candidates : sequence of float
        Directions to begin with, in degrees.
    start : callable
        Gives the motion for views, angles and a direction.
    """
    from scipy.ndimage import gaussian_filter

    # Interpolation smooths noise more or less as a shift falls between pixels or on them, which would draw the views
    # there; noise that is smooth before it is moved does not change.
    views = gaussian_filter(views, (0.0, _SMOOTH, _SMOOTH))
    rotation = _direction(views, angles, candidates, start)
    motion = _shifts(views, angles, start(views, angles, rotation))
    placed = moved(views, motion, outside=0.0)
    errors = _turn_error(placed, angles, start), _shift_errors(placed, angles)
    return Matched(motion, *errors, float(np.sqrt(_misfit(placed, angles))))


# What other views do not predict, as a function of the direction, with the shifts that belong to each direction. It is
# compared and not followed step by step: a volume of wrongly turned views predicts wrongly turned views, so that steps
# of projection matching correct a direction a tenth at a time. Near the minimum it is a parabola.
def _direction(views: Array, angles: Array, candidates: Sequence[float], start: Start) -> float:
    def coarse(rotation: float) -> float:
        return _misfit(moved(views, start(views, angles, rotation), outside=0.0), angles)

    def fine(rotation: float) -> float:
        return _turned_misfit(views, angles, rotation, start)

    near, _ = _least(coarse, min(candidates, key=coarse), _STEPS[0])
    best, around = _least(fine, near, _STEPS[1])
    return best + _STEPS[1] * _vertex(around)


def _turned_misfit(views: Array, angles: Array, rotation: float, start: Start) -> float:
    motion = _shifts(views, angles, start(views, angles, rotation))
    return _misfit(moved(views, motion, outside=0.0), angles)


def _least(misfit: Callable[[float], float], best: float, step: float) -> tuple[float, list[float]]:
    """Walk in steps to where the misfit is least; return it, and the misfits before, there and after."""
    known = {best + k * step: misfit(best + k * step) for k in (-1, 0, 1)}
    for _ in range(6):
        least = min(known, key=known.__getitem__)
        beside = [least + k * step for k in (-1, 1)]
        new = [each for each in beside if min(abs(each - other) for other in known) > step / 2]
        if not new:
            break
        known |= {each: misfit(each) for each in new}
    order = sorted(known)
    middle = order.index(least)
    return least, [known[rotation] for rotation in order[middle - 1 : middle + 2]]


def _vertex(values: Sequence[float]) -> float:
    """Return where the parabola through values at -1, 0 and 1 is least."""
    bend = values[0] - 2 * values[1] + values[2]
    return float(np.clip(0.5 * (values[0] - values[2]) / bend, -2.0, 2.0)) if bend > 0 else 0.0


def _misfit(placed: Array, angles: Array) -> float:
    """Return the square of what is not predicted, as a share of the square of the views."""
    inside = _inner(placed.shape[1:])
    residual = ((placed - _predicted(placed, angles)) * inside) ** 2
    return float(residual.sum()) / max(float(((placed * inside) ** 2).sum()), 1e-30)


def _predicted(placed: Array, angles: Array) -> Array:
    """Return each view as a volume of the views of the other half projects to it."""
    projector = Projector(angles, placed.shape[1])
    predicted = np.empty_like(placed)
    for fold in range(_FOLDS):
        held = np.arange(angles.size) % _FOLDS == fold
        planes = next(islice(cgls(projector.subset(~held), placed[~held]), _SOLVER_ROUNDS - 1, None))
        predicted[held] = projector.subset(held).forward(planes)
    return predicted


def _inner(shape: tuple[int, ...]) -> Array:
    """Return a window that leaves out the ends of the field across the axis, where moved views have no values."""
    ramps = [np.clip((np.minimum(np.arange(n), np.arange(n)[::-1]) - 0.06 * n) / (0.06 * n), 0.0, 1.0) for n in shape]
    return np.asarray(np.outer(*ramps), np.float32)


def _shifts(views: Array, angles: Array, motion: Motion) -> Motion:
    for _ in counted(range(_ROUNDS), "match projections", "rounds"):
        off = _off(moved(views, motion, outside=0.0), angles).sum(axis=1)
        motion = motion._replace(shifts=without_gauge(motion.shifts - np.clip(off, -1.0, 1.0), angles))
    return motion


# A Gauss-Newton step on |W - s P|² for each view: W is the moved view, P its prediction by a volume that has not seen
# it (one that has repeats its error), s a brightness. W(q) = P(q + e) for a view that lies e off, so that its
# derivatives by e are those of P. The step is a sum over pixels, of which each block of slices gives a part.
def _off(placed: Array, angles: Array) -> Array:
    """Return how far each view lies off its prediction, in pixels, as parts (view, block, 2) whose sum it is."""
    inside = _inner(placed.shape[1:])
    found = []
    for view, model in zip(placed, _predicted(placed, angles), strict=True):
        design = np.stack([*np.gradient(model), model]) * inside
        normal = np.einsum("kij,lij->kl", design, design)
        normal += 1e-6 * np.trace(normal) / 3.0 * np.eye(3)
        products = np.array_split(design * ((view - model) * inside), _BLOCKS, axis=2)
        scores = np.stack([part.sum(axis=(1, 2)) for part in products], axis=1)
        found.append(np.linalg.solve(normal, scores)[:2].T)
    return np.array(found)


# Slices hold independent data and are reconstructed independently, so that the scatter of the parts that blocks of them
# give to a step is its error, whatever the noise is (the sandwich of Huber and White). That of one view is poorly known
# from few blocks: a smooth curve over the tilt is taken.
def _shift_errors(placed: Array, angles: Array) -> Array:
    """Return the standard errors (view, 2) of the shifts of placed views."""
    parts = _off(placed, angles)
    variance = parts.var(axis=1, ddof=1) * _BLOCKS
    window = np.exp(-0.5 * ((angles[:, None] - angles) / _SMOOTH_TILT) ** 2)
    errors: Array = np.sqrt(window @ variance / window.sum(1, keepdims=True))
    return errors


# The direction is found anew in groups of slices, which are independent problems too; few degrees of freedom widen its
# error so that 1.96 of it hold 95 % (Student's t).
def _turn_error(placed: Array, angles: Array, start: Start) -> float:
    """Return the standard error of the direction in degrees."""
    from scipy.special import stdtrit

    def within(part: Array, tilts: Array, rotation: float) -> Motion:
        # a few slices are too short for a common line; they were aligned along the axis before they were cut out
        first = start(part, tilts, rotation)
        return first._replace(shifts=first.shifts * [1.0, 0.0])

    parts = _groups(placed)
    if len(parts) < 2:
        return float("nan")
    turns = [_vertex([_turned_misfit(p, angles, k * _STEPS[1], within) for k in (-1, 0, 1)]) for p in parts]
    widening = float(stdtrit(len(parts) - 1, 0.975)) / 1.96
    return float(np.std(turns, ddof=1)) * _STEPS[1] * widening / float(np.sqrt(len(parts)))


def _groups(placed: Array) -> list[Array]:
    """Return groups of neighbouring slices with about as much to see in each."""
    detail = np.cumsum((np.diff(placed, axis=1) ** 2).sum(axis=(0, 1)))
    ends = np.searchsorted(detail, detail[-1] * np.arange(1, _GROUPS) / _GROUPS) + 1
    return [np.ascontiguousarray(part) for part in np.split(placed, ends, axis=2) if part.shape[2] >= _THINNEST]
