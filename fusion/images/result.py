"""What a registration of images returns."""

from __future__ import annotations

from dataclasses import dataclass

from fusion.affine import Affine
from fusion.images.refinement import Model
from fusion.images.verdict import Verdict
from fusion.registration.result import ExpectedErrors


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
        Two, y and x: the transform leaves z as it is.
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
