"""What a registration of images returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusion.affine import Affine
from fusion.errors import UncertainRegistrationError
from fusion.images.refinement import Model
from fusion.images.verdict import Verdict
from fusion.registration.result import ExpectedErrors

Uncertain = Literal["refuse", "keep"]
"""What to do with an answer that is not sure."""


@dataclass(frozen=True)
class ImageRegistration(ExpectedErrors[Affine]):
    """A transform found between two images, with its error and with what speaks for and against it.

    Attributes
    ----------
    transform : Affine
        Maps moving to fixed, with the covariance of its parameters and the degrees of freedom behind it.
    model : str
        The model that was fitted.
    verdict : Verdict
        Whether the transform is to be believed, and why.
    step : float
        Pixel in um at which the images were last compared.
    columns : int
        Two, y and x, of a point of the moving image.
    """

    transform: Affine
    model: Model
    verdict: Verdict
    step: float
    columns: int = 2

    @property
    def dof(self) -> float:  # type: ignore[override]
        """Degrees of freedom behind the covariance."""
        return self.transform.dof

    @property
    def covariance_kind(self) -> Literal["lower bound", "estimated"]:
        """Of what kind the covariance is.

        A lower bound where 95 % regions hold the truth in fewer than 92 % of simulated pairs, as the benchmarks of
        images and sections measure.
        """
        return "lower bound" if self.transform.lower_bound else "estimated"

    def __str__(self) -> str:
        error = f"error at the corners {self.verdict.error:.3g} um ({self.covariance_kind})"
        return f"{self.model} transform, {self.verdict}; {error}"


def believed(result: ImageRegistration, uncertain: Uncertain) -> ImageRegistration:
    """Return a result that is sure, or that is to be kept all the same.

    Raises
    ------
    UncertainRegistrationError
        If it is neither.
    """
    if uncertain == "refuse" and not result.verdict.sure:
        raise UncertainRegistrationError(
            f"{result.verdict}; pass uncertain='keep' to see the best answer, or register by landmarks", result
        )
    return result
