"""Whether the answer of a registration of images is to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fusion.affine import Affine
from fusion.images.pictures import Picture

CLEAR: Final = 1.3
"""How many times as high as any other the answer stands. Of 142 pairs of images that have nothing to do with one
another none reached 1.18 (benchmarks/fusion/images.py --unrelated 142); pairs that belong together reach 1.5 to 4. For
sections, whose scores are other numbers, the factor was taken over: it was not found by such a test, and
benchmarks/fusion/sections.py counts how often a verdict is wrong with it."""


@dataclass(frozen=True)
class Verdict:
    """What speaks for and against a transform found between two images, or an image and a volume.

    Attributes
    ----------
    score : float
        Of two images the agreement of their edges, in units of chance; of a section the evidence in nats that the
        plane explains the image.
    mirrored : float
        The highest score of the mirrored moving image: it has the same statistics and belongs nowhere.
    rival : float
        The highest score of a different place, angle or scale.
    overlap : float
        Share of the smaller image that lies within the other one, or of the section that lies in the volume.
    apart : float
        Distance in um, at the corner where it is largest, between the answers of two measures: mutual information,
        and edges or, of a section, the evidence.
    error : float
        Root mean square error in um expected over the corners of the moving image; NaN where it is not known.
    tolerance : float
        How large the two may be, in um.
    against : tuple of str
        Reasons for doubt; none of a verdict that is sure.
    """

    score: float
    mirrored: float
    rival: float
    overlap: float
    apart: float
    error: float
    tolerance: float
    against: tuple[str, ...]

    @property
    def sure(self) -> bool:
        """Whether nothing speaks against the transform."""
        return not self.against

    def __str__(self) -> str:
        return "sure" if self.sure else f"not sure: {'; '.join(self.against)}"


def judge(
    *, score: float, mirrored: float, rival: float, overlap: float, apart: float, error: float, tolerance: float,
    off_start: str = "",
) -> Verdict:  # fmt: skip
    """Return the verdict; each reason says what was measured and what it may mean."""
    against = []
    if mirrored > CLEAR * score:
        against.append(
            f"the mirrored image fits {mirrored / score:.2g} times as well: one axis of one of the two runs the other "
            "way; turn it"
        )
    elif score < CLEAR * mirrored:
        against.append(
            f"the mirrored image, which belongs nowhere, fits nearly as well ({mirrored:.3g} where the answer has "
            f"{score:.3g}): the two images share too little, or what they show is symmetrical"
        )
    if score < CLEAR * rival:
        against.append(
            f"another place or angle fits nearly as well ({rival:.3g} where the answer has {score:.3g}): narrow the "
            "search about a better start"
        )
    if apart > tolerance:
        against.append(f"two measures, one of them mutual information, give answers {apart:.3g} um apart")
    if not error <= tolerance:
        against.append(f"parts of the images disagree: an error of {error:.3g} um is to be expected at the corners")
    if off_start:
        against.append(off_start)
    return Verdict(score, mirrored, rival, overlap, apart, error, tolerance, tuple(against))


def corner_error(transform: Affine, moving: Picture) -> float:
    """Return the root mean square error in um expected at the corners of the moving image; NaN if it is not known."""
    if transform.covariance is None:
        return float("nan")
    spread_there = transform.covariance_at(np.pad(moving.corners, ((0, 0), (1, 0))))
    return float(np.sqrt(np.trace(spread_there, axis1=1, axis2=2).mean()))


def off_start(transform: Affine, start: Affine | None, moving: Picture, dim: int) -> str:
    """Say if the answer lies further from the start, along the last `dim` axes, than both errors allow."""
    from scipy.special import chdtrc

    if start is None or not start.is_uncertain or transform.covariance is None:
        return ""
    middle = np.pad(moving.centre, (1, 0))
    miss = (transform(middle) - start(middle))[-dim:]
    total = (transform.covariance_at(middle) + start.covariance_at(middle))[-dim:, -dim:]
    square = float(miss @ np.linalg.pinv(total) @ miss)
    if chdtrc(dim, square) > 1e-3:
        return ""
    return (
        f"the answer lies {np.linalg.norm(miss):.3g} um from start, {np.sqrt(square):.2g} standard deviations: one of "
        "the two is wrong, or the error of start too small"
    )
