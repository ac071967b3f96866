"""The best poses of a search, and what they are to be compared with: the mirrored image and the next best pose."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fusion.affine import Affine
from fusion.errors import RegistrationError
from fusion.images.orientation import orientation
from fusion.images.pictures import Picture, corners_apart, in_plane, sampled
from fusion.images.refinement import Model
from fusion.images.search import Peak, Scope, linear_maps, search

_ACROSS: Final = 96
"""Pixels along the larger image."""
_SMALLEST: Final = 40
"""Pixels along the smaller one, at least, as long as the larger one has no more than `_WIDEST`."""
_WIDEST: Final = 384
_ELSEWHERE: Final = 0.1
"""Share of the diagonal by which a corner is shifted in a pose that counts as another one."""


class Candidates(NamedTuple):
    """The best pose, the highest scores of the mirrored image and of another pose, and the step in um."""

    best: Peak
    mirrored: float
    rival: float
    step: float


def search_scope(
    model: Model, start: Affine | None, turn: float | None, stretch: float | None, overlap: float
) -> Scope:
    """Return the scope that the arguments of `fusion.register_images` name.

    Raises
    ------
    RegistrationError
        If they are out of range, or start leaves the plane.
    """
    turn = (180.0 if start is None else 10.0) if turn is None else float(turn)
    stretch = (1.25 if start is None else 1.1) if stretch is None else float(stretch)
    if not (0.0 <= turn <= 180.0 and 1.0 <= stretch <= 20.0 and 0.05 <= overlap <= 1.0):
        raise RegistrationError(
            "turn is 0 to 180 degrees, stretch a factor of 1 to 20 and overlap a share of 0.05 to 1; received "
            f"turn={turn!r}, stretch={stretch!r}, overlap={overlap!r}"
        )
    linear = np.eye(2) if start is None else in_plane(start.matrix[:3, :3], "start")
    scaled = model in ("similarity", "affine")
    return Scope(linear, 0.0 if model == "translation" else turn, stretch if scaled else 1.0, overlap)


def candidates(moving: Picture, fixed: Picture, scope: Scope) -> Candidates:
    """Search with the moving image and with its mirror image.

    Raises
    ------
    RegistrationError
        If no shift lets them overlap far enough.
    """
    scale = float(np.sqrt(np.linalg.det(scope.linear)))
    step = _step(moving, fixed, scale)
    ours, theirs = sampled(moving, step / scale), orientation(sampled(fixed, step))
    maps = linear_maps(step, float(np.hypot(*moving.extent)) * scale / 2.0, scope)
    peaks = search(orientation(ours), theirs, maps, scope.overlap)
    # a mirror image has every property of the image but its place: the highest of its scores is what chance, edges of
    # few directions and repeated motifs reach among as many poses
    mirrored = search(orientation(ours.mirrored()), theirs, maps, scope.overlap)
    if not peaks or not mirrored:
        raise RegistrationError("no shift lets the images overlap as far as asked; lower overlap=")
    least = _ELSEWHERE * float(np.hypot(*moving.extent)) * scale
    rivals = (peak.score for peak in peaks if corners_apart(peak.matrix, peaks[0].matrix, moving) > least)
    return Candidates(peaks[0], mirrored[0].score, max(next(rivals, 0.0), 0.0), step)


def _step(moving: Picture, fixed: Picture, scale: float) -> float:
    """Return the pixel of the search in um: coarse, but no finer than the coarser image and fine for the smaller."""
    extents = moving.extent * scale, fixed.extent
    larger = max(float(extent.max()) for extent in extents)
    smaller = min(float(extent.min()) for extent in extents)
    pixels = max(float(np.sqrt(moving.step.prod())) * scale, float(np.sqrt(fixed.step.prod())))
    return max(min(larger / _ACROSS, smaller / _SMALLEST), larger / _WIDEST, pixels)
