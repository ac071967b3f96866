"""Whether the answer of a registration of images is to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLEAR: Final = 1.3
"""How many times as high as any other the answer stands. Of 100 pairs of images that have nothing to do with one
another none reached 1.14 (benchmarks/images.py --unrelated 100); pairs that belong together reach 1.5 to 4."""


@dataclass(frozen=True)
class Verdict:
    """What speaks for and against a transform found between two images.

    Attributes
    ----------
    score : float
        Agreement of the edges, in units of chance.
    mirrored : float
        The highest score of the mirrored moving image: it has the same statistics and belongs nowhere.
    rival : float
        The highest score of a different place, angle or scale.
    overlap : float
        Share of the smaller image that lies within the other one.
    apart : float
        Distance in um, at the corner where it is largest, between the answers of edges and of mutual information.
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
            f"the mirrored image fits {mirrored / score:.2g} times as well: one axis of moving or fixed runs the other "
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
            "search with start=, turn= and stretch="
        )
    if apart > tolerance:
        against.append(f"edges and mutual information give answers {apart:.3g} um apart")
    if not error <= tolerance:
        against.append(f"parts of the images disagree: an error of {error:.3g} um is to be expected at the corners")
    if off_start:
        against.append(off_start)
    return Verdict(score, mirrored, rival, overlap, apart, error, tolerance, tuple(against))
