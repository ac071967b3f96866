"""The matrix that is factorised, with its weights."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spectra.factorisation.sparse import Array, Matrix, entries
from spectra.factorisation.stream import Streamed
from spectra.factorisation.weighting import Weights

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
    weights: Weights

    @property
    def square(self) -> float:
        """Sum of the squares of the divided matrix."""
        if isinstance(self.matrix, Streamed):
            return float(np.trace(self.matrix.gram))
        return float((entries(self.matrix) ** 2).sum())

    def shares(self, scores: Array, factors: Array) -> Array:
        """Return the sum of squares of each component over that of the divided matrix."""
        return np.asarray((scores**2).sum(axis=0) * (factors**2).sum(axis=1) / self.square)

    def spectra(self, numbers: npt.NDArray[np.int64]) -> Array:
        """Return a few rows of the divided matrix, dense."""
        if isinstance(self.matrix, Streamed):
            return self.matrix.spectra(numbers)
        rows = self.matrix[numbers]
        return np.asarray(rows if isinstance(rows, np.ndarray) else rows.toarray())

    def pixel_spectra(self, numbers: npt.NDArray[np.int64]) -> Array:
        """Return the spectra of pixels in the scale of the map, divided by the weights of the channels only."""
        return self.spectra(numbers) * self.by_pixel[numbers][:, None]

    def transposed_times(self, left: Array) -> Array:
        """Return the transpose of the divided matrix times (pixel, k)."""
        product = self.matrix.transposed_times(left) if isinstance(self.matrix, Streamed) else self.matrix.T @ left
        return np.asarray(product)
