"""Registration of two images: a search over all angles, scales and shifts, a refinement, a verdict and an error."""

from __future__ import annotations

from typing import Final, NamedTuple, get_args

import numpy as np
import xarray as xr

from fusion.affine import Affine
from fusion.errors import RegistrationError
from fusion.images.candidates import Candidates, candidates, search_scope
from fusion.images.measures import Edges, Measure, Metric, measure
from fusion.images.parts import Spread, interleaved, spread
from fusion.images.pictures import Array, Picture, at, corners_apart, finest_step, moved, read, sampled
from fusion.images.refinement import Model, Motion, refine, refine_near
from fusion.images.result import ImageRegistration, Uncertain, believed
from fusion.images.verdict import corner_error, judge, off_start

_MOST: Final = 60_000
"""Pixels of the smaller image at the finest step, about 250 across."""
_TOLERANCE: Final = 4.0
"""Steps of the search by which two measures may differ: about 4 % of the extent."""


def register_images(
    moving: xr.Dataset | xr.DataArray,
    fixed: xr.Dataset | xr.DataArray,
    *,
    model: Model = "rigid",
    metric: Metric = "orientation",
    start: Affine | None = None,
    turn: float | None = None,
    stretch: float | None = None,
    overlap: float = 0.3,
    variable_moving: str | None = None,
    variable_fixed: str | None = None,
    mask_moving: xr.DataArray | None = None,
    mask_fixed: xr.DataArray | None = None,
    uncertain: Uncertain = "refuse",
) -> ImageRegistration:
    """Find the transform that brings one image onto another, or say that it cannot be found.

    All shifts at all angles (and scales) are compared before anything is refined, so that no start is needed; contrast
    may differ or be inverted.

    Parameters
    ----------
    moving, fixed : Dataset or DataArray, dims (y, x)
        In um, of any pixel sizes; pixels that are NaN take no part. They need only overlap.
    model : {"rigid", "translation", "similarity", "affine"}
        Rotation and shift; a shift; with one scale; or any linear map and shift.
    metric : {"orientation", "mutual information"}
        What is made largest in the refinement: the agreement of the directions of edges, or normalised mutual
        information. The other one checks the answer.
    start : Affine, optional
        Angle and scale about which to search, as of a stage; within the plane. Its covariance, where it has one that
        is not zero, is compared with the answer.
    turn : float, optional
        How far the angle may lie from that of `start`, in degrees; 180 if left out, 10 with `start`.
    stretch : float, optional
        By which factor the scale may differ from that of `start`, up or down; 1.25 if left out, 1.1 with `start`.
        Always 1 for the models "rigid" and "translation".
    overlap : float
        Share of the smaller image that must lie within the other one, 0.05 to 1.
    variable_moving, variable_fixed : str, optional
        The image of a dataset that has several.
    mask_moving, mask_fixed : DataArray of bool, optional
        True where the image is to be used, on its own y and x.
    uncertain : {"refuse", "keep"}
        What to do with an answer that is not sure: raise it as an error, or return it with its verdict.

    Returns
    -------
    ImageRegistration
        With ``verdict``, and a covariance from the scatter of the answers of sixteen parts of the image; see
        `fusion.images.parts`. It does not know of a distortion that the model cannot follow.

    Raises
    ------
    UncertainRegistrationError
        If the verdict is not sure, under "refuse". It carries the result as ``registration``.
    RegistrationError
        If the axes of an image, its mask or an argument cannot be used.
    ConventionError
        If there is no image, or several could be meant.
    DataError
        If an image has no contrast, too few pixels that were measured, or no real numbers.
    UnitError
        If a pixel size is not known.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> from scipy.ndimage import gaussian_filter
    >>> values = gaussian_filter(np.random.default_rng(0).normal(size=(96, 96)), 2.0)
    >>> axes = {"y": Axis("um", 0.5), "x": Axis("um", 0.5)}
    >>> fixed = dataset({"image": (("y", "x"), values)}, axes, name="a", cell_methods="mean")
    >>> turned = dataset({"image": (("y", "x"), -values[::-1, ::-1])}, axes, name="b", cell_methods="mean")
    >>> result = register_images(turned, fixed)
    >>> str(result.verdict), round(result.transform.angle)
    ('sure', 180)
    """
    choices = {"model": (model, Model), "metric": (metric, Metric), "uncertain": (uncertain, Uncertain)}
    for name, (value, accepted) in choices.items():
        if value not in get_args(accepted):
            raise RegistrationError(f"unknown {name} {value!r}; accepted are {', '.join(get_args(accepted))}")
    ours = read(moving, variable_moving, mask_moving, "moving")
    theirs = read(fixed, variable_fixed, mask_fixed, "fixed")
    scope = search_scope(model, start, turn, stretch, overlap)
    found = candidates(ours, theirs, scope)
    return believed(_registration(ours, theirs, found, model, metric, start), uncertain)


class _Level(NamedTuple):
    """Both images at one step, compared by their edges, and the best motion there."""

    step: float
    moving: Picture
    fixed: Picture
    edges: Edges
    motion: Motion
    score: float


def _registration(
    moving: Picture, fixed: Picture, found: Candidates, model: Model, metric: Metric, start: Affine | None
) -> ImageRegistration:
    level = _finest(moving, fixed, found, model)
    check: Measure = measure("mutual information", level.moving, level.fixed)
    checked = _again(check, level.motion, level.step)
    motion, used = (level.motion, level.edges) if metric == "orientation" else (checked, check)
    labels = interleaved(level.edges.points, level.edges.energy(level.motion.start))
    error = spread(used, motion, labels, level.step)
    transform = _in_space(motion.start, error)
    tolerance = _TOLERANCE * found.step
    verdict = judge(
        score=found.best.score, mirrored=found.mirrored, rival=found.rival,
        overlap=_overlap(moving, fixed, motion.start), tolerance=tolerance,
        apart=corners_apart(level.motion.start, checked.start, moving), error=corner_error(transform, moving),
        off_start=off_start(transform, start, moving, 2),
    )  # fmt: skip
    return ImageRegistration(transform, model, verdict, level.step)


def _finest(moving: Picture, fixed: Picture, found: Candidates, model: Model) -> _Level:
    """Refine at the step of the search, then at finer ones as long as they tell the position more exactly."""
    # The position is known to about a step over the score, which is in units of chance: a finer level is better until
    # its pixels are so noisy that the score falls by more than the step. With more than 60,000 pixels nothing is
    # gained: what differs at finer steps is the rim that a detector puts on one side of an edge, and it pulls.
    finest = finest_step(moving, fixed, _MOST)
    best = _refined(moving, fixed, found.best.matrix, model, found.step)
    step = found.step
    while step > 1.01 * finest:
        step = max(step / 2.0, finest)
        level = _refined(moving, fixed, best.motion.start, model, step)
        if level.step / max(level.score, 1e-9) > best.step / max(best.score, 1e-9):
            break
        best = level
    return best


def _refined(moving: Picture, fixed: Picture, matrix: Array, model: Model, step: float) -> _Level:
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    ours, theirs = sampled(moving, step / scale), sampled(fixed, step)
    edges = measure("orientation", ours, theirs)
    assert isinstance(edges, Edges)
    around = Motion(model, matrix, moved(matrix, moving.centre), float(np.hypot(*moving.extent)) * scale / 2.0)
    motion = around.about(around(refine_near(edges, around, step)))
    return _Level(step, ours, theirs, edges, motion, edges(motion.start))


def _again(used: Measure, motion: Motion, reach: float) -> Motion:
    """Return the motion about the best transform near that of `motion`."""
    return motion.about(motion(refine(used, motion, reach)))


def _overlap(moving: Picture, fixed: Picture, matrix: Array) -> float:
    """Return the share of the smaller image that lies within the other one."""
    area = float(np.prod(moving.step) * abs(np.linalg.det(matrix[:2, :2]))) * moving.weight.sum()
    whole = float(np.prod(fixed.step)) * fixed.weight.sum()
    thin = max(1, int(np.sqrt(fixed.weight.size) / 256))
    points = fixed.points()[::thin, ::thin].reshape(-1, 2)
    shared = (at(moving, moving.weight, matrix, points) * fixed.weight[::thin, ::thin].ravel()).sum()
    return float(min(shared * thin**2 * np.prod(fixed.step) / min(area, whole), 1.0))


def _in_space(matrix: Array, error: Spread | None) -> Affine:
    """Return the transform of space, which leaves z as it is, exactly."""
    full = np.eye(4)
    full[1:, 1:] = matrix
    if error is None:
        return Affine(full)
    covariance = np.zeros((3, 4, 3, 4))
    covariance[1:, 1:, 1:, 1:] = error.covariance.reshape(2, 3, 2, 3)
    return Affine(full, covariance=covariance.reshape(12, 12), dof=error.dof, lower_bound=True)
