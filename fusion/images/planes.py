"""How well a plane of a volume explains an image: by the variance that is left, or by mutual information."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fusion.images.blocks import Block
from fusion.images.measures import among_bins, entropy
from fusion.images.pictures import Array, Picture, smoothed

BINS: Final = 32


@dataclass(frozen=True)
class Planes:
    """An image and a volume, ready to be compared at any pose of the image.

    Parameters
    ----------
    block : Block
        Its values are positions among the bins, 0 to the last.
    points : ndarray (n, 2)
        Of the image, y and x in um.
    bins : ndarray (n,), int
        The bin of the image there.
    cell : float
        Points within the area over which the two were smoothed: so many share one piece of evidence.
    """

    block: Block
    points: Array
    bins: Array
    cell: float

    def table(self, matrix: Array) -> Array:
        """Return how often (bin of image, bin of plane) occur under a matrix (4, 4) from the image to the volume."""
        return self.block.histogram(matrix, self.points, self.bins, BINS)

    def part(self, rows: Array) -> Planes:
        """Return the same comparison at some of the points."""
        return replace(self, points=self.points[rows], bins=self.bins[rows])


@dataclass(frozen=True)
class Evidence:
    """The evidence that an image is a function of a plane and noise, in nats."""

    planes: Planes

    def __call__(self, matrix: Array) -> float:
        """Return -n/2 log(W / T): T the variance of the n values of the image, W what is left of it within bins."""
        # The log likelihood ratio of "image = f(plane) + noise", f any function of the bins, against "the plane says
        # nothing": 1 - W/T is the correlation ratio (Roche, Malandain, Pennec and Ayache, MICCAI 1998). Contrast may be
        # inverted or folded. Multiplied by n it does not grow as the overlap shrinks to what is alike.
        table, level = self.planes.table(matrix), np.arange(BINS, dtype=float)
        count, sums = table.sum(axis=0), level @ table
        total = count.sum()
        if total < BINS:
            return 0.0
        squares = float(level**2 @ table.sum(axis=1))
        left = squares - float((sums**2 / np.maximum(count, 1e-12)).sum())
        variance = squares - float(sums.sum()) ** 2 / total
        if variance <= 0.0:
            return 0.0
        return float(-0.5 * total * np.log(max(left / variance, 1e-6)) / self.planes.cell)

    def part(self, rows: Array) -> Evidence:
        """Return the same measure at some of the points."""
        return Evidence(self.planes.part(rows))


@dataclass(frozen=True)
class PlaneInformation:
    """Mutual information of image and plane, in nats a point, of where they overlap."""

    planes: Planes

    def __call__(self, matrix: Array) -> float:
        """Return H(image) + H(plane) - H(both), times the share of the points that overlap."""
        table = self.planes.table(matrix)
        total = float(table.sum())
        if total < BINS:
            return 0.0
        shared = entropy(table.sum(axis=0)) + entropy(table.sum(axis=1)) - entropy(table)
        return shared * total / len(self.planes.bins)

    def part(self, rows: Array) -> PlaneInformation:
        """Return the same measure at some of the points."""
        return PlaneInformation(self.planes.part(rows))


def compared(picture: Picture, block: Block, blur: float, step: float) -> Planes:
    """Return a picture smoothed by a Gaussian of `blur` um at points about as far apart, and a block smoothed alike.

    A pixel of the picture is `step` um wide in the volume.
    """
    known = picture.weight > 0.5
    bins = np.rint(among_bins(smoothed(picture, blur / step), known, BINS)).astype(np.intp)
    thin = max(1, int(np.ceil(blur / step - 0.1)))
    taken = np.zeros_like(known)
    taken[thin // 2 :: thin, thin // 2 :: thin] = True
    taken &= known
    # the integral of the squared Gaussian: noise smoothed by it is as good as independent at one point in so many
    cell = max(1.0, 4.0 * np.pi * (blur / (thin * step)) ** 2)
    return Planes(block, picture.points()[taken], bins[taken], cell)
