"""The plane of a volume that an image shows, found near a start, with a verdict and an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, get_args

import numpy as np
import xarray as xr

from fusion.affine import Affine, skew, turned
from fusion.errors import RegistrationError
from fusion.images.blocks import Block, read_block
from fusion.images.parts import interleaved, spread
from fusion.images.pictures import Array, Picture, corners_apart, read, sampled
from fusion.images.planes import BINS, Evidence, PlaneInformation, Planes, compared
from fusion.images.refinement import refine
from fusion.images.result import ImageRegistration, Uncertain, believed
from fusion.images.search import Peak
from fusion.images.verdict import corner_error, judge, off_start
from fusion.progress import counted

_POSES: Final = 8192
"""Poses that are tried first; a power of two, as Sobol's sequence likes it."""
_TOLERANCE: Final = 4.0
"""Steps by which two measures may differ at a corner."""
_KEPT: Final = (24, 12, 6, 3)
"""How many of the best go on to each finer level."""


@dataclass(frozen=True)
class Pose:
    """Rigid motions of a plane in space around a start, by six parameters that are all lengths in um.

    Three turn about the axes, and move the rim of the image, `radius` away from `centre`, by that much; three shift.
    """

    start: Array
    centre: Array
    radius: float

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return 6

    def about(self, matrix: Array) -> Pose:
        """Return the same motions around another start."""
        return replace(self, start=matrix)

    def __call__(self, parameters: Array) -> Array:
        """Return the matrix (4, 4) from the image to the volume."""
        turn = turned(skew(parameters[:3] / self.radius))
        matrix = self.start.copy()
        matrix[:3, :3] = turn @ self.start[:3, :3]
        middle = self.start[:3, :3] @ self.centre
        matrix[:3, 3] = self.start[:3, 3] + middle - turn @ middle + parameters[3:]
        return matrix


class Range(NamedTuple):
    """How far from the start is searched: um at the rim of the image by turns, and um of shift."""

    rim: float
    shift: float


def find_section(
    image: xr.Dataset | xr.DataArray,
    volume: xr.Dataset | xr.DataArray,
    *,
    start: Affine,
    turn: float = 10.0,
    reach: float | None = None,
    variable_image: str | None = None,
    variable_volume: str | None = None,
    mask: xr.DataArray | None = None,
    uncertain: Uncertain = "refuse",
) -> ImageRegistration:
    """Find the plane of a volume that an image shows, from a start such as a stage or a few landmarks give.

    The image may have another contrast, as long as it is a function of the values of the volume, with noise: inverted,
    compressed, or two phases alike.

    Parameters
    ----------
    image : Dataset or DataArray, dims (y, x)
        In um; pixels that are NaN take no part.
    volume : Dataset or DataArray, dims (z, y, x)
        In um, with voxels of any shape; of a lazy one only the part around the plane is read.
    start : Affine
        From the coordinates of the image (z = 0) to those of the volume. Its scale is kept, and its covariance, where
        it has one that is not zero, is compared with the answer.
    turn : float
        How far the answer may be turned from `start`, in degrees, up to 30.
    reach : float, optional
        How far the middle of the image may lie from where `start` puts it, in um; a twentieth of the diagonal of the
        image if left out.
    variable_image, variable_volume : str, optional
        The variable of a dataset that has several.
    mask : DataArray of bool, optional
        True where the image is to be used.
    uncertain : {"refuse", "keep"}
        What to do with an answer that is not sure: raise it as an error, or return it with its verdict.

    Returns
    -------
    ImageRegistration
        With ``verdict``, and a covariance from the scatter of the answers of sixteen parts of the image.

    Raises
    ------
    UncertainRegistrationError
        If the verdict is not sure, under "refuse". It carries the result as ``registration``.
    RegistrationError
        If `start` leads out of the volume, or axes, the mask or an argument cannot be used.
    ConventionError
        If there is no image or no volume, or several could be meant.
    DataError
        If one of them has no contrast there, too few values that were measured, or no real numbers.
    UnitError
        If a pixel size is not known.

    Notes
    -----
    Poses spread evenly over the range are compared on smoothed data, the best are refined while the smoothing is
    halved, and the last step compares the pixels themselves with splines between the voxels; see
    `fusion.images.planes`. The verdict asks for as clear a lead as that of two images does, a factor which was not
    measured anew for sections (`fusion.images.verdict`).
    """
    if uncertain not in get_args(Uncertain):
        raise RegistrationError(f"unknown uncertain {uncertain!r}; accepted are {', '.join(get_args(Uncertain))}")
    picture = read(image, variable_image, mask, "image")
    diagonal = float(np.hypot(*picture.extent)) * _scale(start)
    reach = diagonal / 20.0 if reach is None else float(reach)
    if not (0.0 < turn <= 30.0 and 0.0 < reach < np.inf):
        raise RegistrationError(f"turn is 0 to 30 degrees and reach positive, in um; received {turn!r} and {reach!r}")
    limits = Range(np.deg2rad(turn) * diagonal / 2.0, reach)
    block = read_block(volume, variable_volume, *_box(picture, start, 1.5 * sum(limits)))
    return believed(_registration(picture, block, start, limits), uncertain)


def _box(picture: Picture, start: Affine, margin: float) -> tuple[Array, Array]:
    corners = start(np.pad(picture.corners, ((0, 0), (1, 0))))
    return corners.min(axis=0) - margin, corners.max(axis=0) + margin


def _scale(start: Affine) -> float:
    """Return the factor of lengths within the plane of the image."""
    down, along = start.matrix[:3, 1:3].T
    return float(np.sqrt(np.linalg.norm(np.cross(down, along))))


def _registration(picture: Picture, block: Block, start: Affine, limits: Range) -> ImageRegistration:
    scale = _scale(start)
    step = max(float(picture.step.max()) * scale, float(block.step.min()))
    image = sampled(picture, step / scale)
    pose = Pose(start.matrix, np.array([0.0, *image.centre]), float(np.hypot(*image.extent)) * scale / 2.0)
    blocks = _smoothed(block, limits, step)
    levels = _levels(image, blocks, step)
    best, *others = _search(levels, pose, limits, image)
    mirrored, *_ = _search(_levels(image.mirrored(), blocks, step), pose, limits, image)
    finest = levels[-1][1]
    checked = pose.about(best.matrix)(refine(PlaneInformation(finest), pose.about(best.matrix), step))
    transform = _with_error(best.matrix, image, finest, pose, step)
    tolerance = _TOLERANCE * step
    rivals = (other.score for other in others if corners_apart(other.matrix, best.matrix, image) > tolerance)
    verdict = judge(
        score=best.score, mirrored=mirrored.score, rival=next(rivals, 0.0),
        overlap=float(np.isfinite(finest.block.on_plane(best.matrix, finest.points)).mean()), tolerance=tolerance,
        apart=corners_apart(checked, best.matrix, image), error=corner_error(transform, image),
        off_start=off_start(transform, start, image, 3),
    )  # fmt: skip
    return ImageRegistration(transform, "rigid", verdict, step)


def _with_error(matrix: Array, image: Picture, planes: Planes, pose: Pose, step: float) -> Affine:
    """Return the transform with the covariance that the answers of sixteen parts of the image have."""
    slope = np.hypot(*np.gradient(image.values))[image.weight > 0.5] ** 2
    labels = interleaved(planes.points, slope)
    error = spread(Evidence(planes), pose.about(matrix), labels, step)
    if error is None:
        return Affine(matrix)
    return Affine(matrix, covariance=error.covariance, dof=error.dof, lower_bound=True)


def _search(levels: list[tuple[float, Planes]], pose: Pose, limits: Range, image: Picture) -> list[Peak]:
    """Return the best poses, different ones, the best first."""
    measure = Evidence(levels[0][1])
    found = _best(measure, _poses(pose, limits))[: _KEPT[0]]
    for number, (blur, planes) in enumerate(counted(levels, "find the section", "levels")):
        measure, last = Evidence(planes), number == len(levels) - 1
        precision = 0.01 if last else 0.1
        moved = [pose.about(each.matrix) for each in found]
        found = _distinct(_best(measure, [one(refine(measure, one, blur, precision)) for one in moved]), blur, image)
        found = found[: _KEPT[min(number + 1, len(_KEPT) - 1)]]
    return found


def _best(measure: Evidence, matrices: Iterable[Array]) -> list[Peak]:
    return sorted((Peak(measure(matrix), matrix) for matrix in matrices), key=lambda found: -found.score)


def _distinct(found: list[Peak], reach: float, image: Picture) -> list[Peak]:
    """Return the poses, the best first, without those that are within reach of a better one at every corner."""
    kept: list[Peak] = []
    for each in found:
        if all(corners_apart(each.matrix, other.matrix, image) > reach for other in kept):
            kept.append(each)
    return kept


def _poses(pose: Pose, limits: Range) -> Iterator[Array]:
    """Yield the start and poses spread evenly over the balls of turns and of shifts."""
    from scipy.stats.qmc import Sobol

    yield pose.start
    for draw in 2.0 * Sobol(6, seed=0).random(_POSES) - 1.0:
        turn, shift = draw[:3], draw[3:]
        if max(np.linalg.norm(turn), np.linalg.norm(shift)) <= 1.0:
            yield pose(np.concatenate([limits.rim * turn, limits.shift * shift]))


def _smoothed(block: Block, limits: Range, step: float) -> list[tuple[float, Block]]:
    """Return blur in um and the block, from a blur that spans the gaps between the first poses to none."""
    blur, blurs = max(limits.rim, limits.shift, 2.0 * step) / 4.0, []
    while blur > 0.6 * step:
        blurs.append(blur)
        blur /= 2.0
    return [(blur, block.smoothed(blur, BINS)) for blur in (*blurs, 0.0)]


def _levels(image: Picture, blocks: list[tuple[float, Block]], step: float) -> list[tuple[float, Planes]]:
    """Return the reach of a refinement in um and the two compared, the coarsest first."""
    return [(blur or step, compared(image, block, blur, step)) for blur, block in blocks]
