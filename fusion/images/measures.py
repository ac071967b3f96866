"""How well two images agree under a transform: by the directions of their edges, or by mutual information."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import numpy as np

from fusion.images.orientation import Orientation, doubled_turn, orientation
from fusion.images.pictures import Array, Picture, at, smoothed

Metric = Literal["orientation", "mutual information"]
_BINS: Final = 24


class Measure(Protocol):
    """A measure of agreement at points of the fixed image; the larger the better."""

    def __call__(self, matrix: Array) -> float:
        """Return the agreement under a matrix (3, 3) from moving to fixed."""

    def part(self, rows: Array) -> Measure:
        """Return the same measure at some of the points."""


@dataclass(frozen=True)
class Edges:
    """Agreement of the directions of edges, in units of chance.

    Parameters
    ----------
    moving : Orientation
    points : ndarray (n, 2)
        Of the fixed image, in um.
    field : ndarray (n,), complex
        Orientation of the fixed image there.
    """

    moving: Orientation
    points: Array
    field: Array

    def __call__(self, matrix: Array) -> float:
        """Return S / sqrt(V), S = sum Re(f* m) and V = sum |f|² |m|², as `fusion.images.search` does."""
        # a turn by a doubles to 2 a; of an affine map only the nearest rotation is applied: a shear of 0.1 turns edges
        # by 3 degrees at most, which costs 0.5 % of the agreement and moves nothing
        from fusion.images import _kernels as kernels

        back = self.moving.picture.back(matrix)
        agreement, energy = kernels.edge_sums(self.moving.values, back, self.points, self.field)
        turned = (agreement * doubled_turn(matrix[:2, :2])).real
        return float(turned / np.sqrt(energy)) if energy > 0 else 0.0

    def energy(self, matrix: Array) -> Array:
        """Return |f|² |m|² (n,): how much each point has to say."""
        power = at(self.moving.picture, np.abs(self.moving.values) ** 2, matrix, self.points)
        return np.asarray(np.abs(self.field) ** 2 * power)

    def part(self, rows: Array) -> Edges:
        """Return the same measure at some of the points."""
        return replace(self, points=self.points[rows], field=self.field[rows])


@dataclass(frozen=True)
class Information:
    """Normalised mutual information of the values.

    Parameters
    ----------
    moving : Picture
        Its values are positions among the bins, 0 to the last.
    points : ndarray (n, 2)
        Of the fixed image, in um.
    bins : ndarray (n,), int
        The bin of the fixed image there.
    """

    moving: Picture
    points: Array
    bins: Array

    def __call__(self, matrix: Array) -> float:
        """Return (H(f) + H(m)) / H(f, m) of where the images overlap."""
        # Studholme, Hill and Hawkes, Pattern Recognit. 32, 71 (1999): unlike the mutual information itself it does not
        # grow as the overlap shrinks to what is alike. A value between two bins counts in both (a linear Parzen
        # window), so that the measure is continuous.
        from fusion.images import _kernels as kernels

        table, back = np.zeros((_BINS, _BINS)), self.moving.back(matrix)
        kernels.joint_histogram(self.moving.values, self.moving.weight, back, self.points, self.bins, table)
        both = entropy(table)
        return (entropy(table.sum(axis=0)) + entropy(table.sum(axis=1))) / both if both > 0 else 0.0

    def part(self, rows: Array) -> Information:
        """Return the same measure at some of the points."""
        return replace(self, points=self.points[rows], bins=self.bins[rows])


def measure(metric: Metric, moving: Picture, fixed: Picture) -> Edges | Information:
    """Return the measure on two pictures of one step."""
    if metric == "orientation":
        field = orientation(fixed)
        rows = np.flatnonzero(field.weight.ravel() > 0.5)
        return Edges(orientation(moving), fixed.points().reshape(-1, 2)[rows], field.values.ravel()[rows])
    rows = np.flatnonzero(fixed.weight.ravel() > 0.5)
    bins = np.rint(_binned(fixed).ravel()[rows]).astype(int)
    return Information(replace(moving, values=_binned(moving)), fixed.points().reshape(-1, 2)[rows], bins)


def _binned(picture: Picture) -> Array:
    """Return the values as positions among the bins, uneven light taken off, noise of single pixels smoothed."""
    flat = smoothed(picture, 1.0) - smoothed(picture, np.array(picture.values.shape) / 5.0)
    return among_bins(flat, picture.weight > 0.5, _BINS)


def among_bins(values: Array, known: Array, bins: int) -> Array:
    """Return values as positions from 0 to `bins` - 1, between the quantiles 0.5 % and 99.5 % of the known ones."""
    low, high = np.quantile(values[known], [0.005, 0.995])
    return np.asarray(np.clip((values - low) / max(high - low, 1e-30), 0.0, 1.0) * (bins - 1))


def entropy(counts: Array) -> float:
    """Return the entropy of a histogram in nats."""
    share = counts[counts > 0] / max(float(counts.sum()), 1e-30)
    return float(-(share * np.log(share)).sum())
