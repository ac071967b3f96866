"""The best transform near a start: a measure of agreement made as large as it gets, in um."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from fusion.images.measures import Measure
from fusion.images.orientation import rotation
from fusion.images.pictures import Array

Model = Literal["translation", "rigid", "similarity", "affine"]


class Motions(Protocol):
    """Transforms around a start, by parameters that are all lengths in um."""

    @property
    def start(self) -> Array:
        """The matrix at parameters of zero."""

    @property
    def size(self) -> int:
        """How many parameters there are."""

    def __call__(self, parameters: Array) -> Array:
        """Return the matrix."""


@dataclass(frozen=True)
class Motion:
    """The transforms of a model around a start, by parameters that are all lengths in um.

    A turn, scale or shear of 1 um moves the rim of the moving picture, `radius` away from `centre`, by that much.
    """

    model: Model
    start: Array
    centre: Array
    radius: float

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return {"translation": 2, "rigid": 3, "similarity": 4, "affine": 6}[self.model]

    def about(self, matrix: Array) -> Motion:
        """Return the same motion around another start."""
        return replace(self, start=matrix)

    def __call__(self, parameters: Array) -> Array:
        """Return the matrix (3, 3) on (y, x, 1)."""
        shift, rest = parameters[:2], parameters[2:] / self.radius
        if self.model == "affine":
            linear = np.eye(2) + rest.reshape(2, 2)
        else:
            turn, scale = np.pad(rest, (0, 2 - len(rest)))
            linear = np.exp(scale) * rotation(turn)
        step = np.eye(3)
        step[:2, :2] = linear
        step[:2, 2] = self.centre - linear @ self.centre + shift
        return np.asarray(step @ self.start)


def refine(measure: Measure, motion: Motions, reach: float, precision: float = 0.01) -> Array:
    """Return the parameters at which the measure is largest; first steps are `reach` um, last ones a share of it."""
    from scipy.optimize import minimize

    result = minimize(
        lambda u: -measure(motion(u * reach)), np.zeros(motion.size), method="Powell",
        options={"xtol": precision, "ftol": 0.1 * precision**2, "maxiter": 20},
    )  # fmt: skip
    return np.asarray(result.x * reach)
