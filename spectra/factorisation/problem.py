"""The matrix that is factorised, with its weights."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spectra.factorisation.sparse import Array, Matrix, entries
from spectra.factorisation.stream import Streamed

Weighting: TypeAlias = Literal["poisson"]
Mask: TypeAlias = npt.NDArray[np.bool_]


class Problem(NamedTuple):
    """Live pixels by live channels, divided by what makes their noise alike.

    Channels and pixels without any signal carry no information and are left out.
    """

    matrix: Matrix
    by_pixel: Array
    by_channel: Array
    pixels: Mask
    channels: Mask
    lowest: float

    @property
    def square(self) -> float:
        """Sum of the squares of the divided matrix."""
        if isinstance(self.matrix, Streamed):
            return float(np.trace(self.matrix.gram))
        return float((entries(self.matrix) ** 2).sum())

    def spectra(self, numbers: npt.NDArray[np.int64]) -> Array:
        """Return a few rows of the divided matrix, dense."""
        if isinstance(self.matrix, Streamed):
            return self.matrix.spectra(numbers)
        rows = self.matrix[numbers]
        return np.asarray(rows if isinstance(rows, np.ndarray) else rows.toarray())

    def turned(self, left: Array) -> Array:
        """Return the transpose of the divided matrix times (pixel, k)."""
        turned = self.matrix.turned(left) if isinstance(self.matrix, Streamed) else self.matrix.T @ left
        return np.asarray(turned)
