"""One operator between the cells of two grids, in both directions: counts one way, means the other.

The overlaps V (target cell by source cell, um³) are exact. With the volumes |s| of the source cells, counts are placed
by C = V / |s|, whose columns add up to 1 within the target; its transpose takes means over source cells. The rows of V
over their sums give means over target cells. Errors of pixels are independent and follow the squared weights.

Axes that the pose does not mix (all of them between aligned grids; z, where a map is turned in its plane) have matrices
of their own, applied one after the other: a weight is the product of theirs, its square the product of the squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.grids._slab_kernels import in_slabs
from fusion.grids.cells import Axes, Vector
from fusion.grids.footprints import Footprints, fits
from fusion.grids.geometry import Geometry
from fusion.grids.groups import Group, Rows, overlap, sampled

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Shares:
    """The operator between two grids as the product of its groups of axes; arrays are (z, y, x, k).

    Attributes
    ----------
    groups : sequence of Group
    source, target : (int, int, int)
        Shapes of the two grids.
    threads : int or None
        Threads that may be used between aligned grids; None for all cores.
    """

    groups: Sequence[Group]
    source: Shape
    target: Shape
    threads: int | None = 1

    @property
    def separable(self) -> bool:
        """Return whether the pose leaves all axes apart."""
        return len(self.groups) == 3

    def turned(self) -> Shares:
        """Return the operator from the target to the source."""
        return Shares([group.turned() for group in self.groups], self.target, self.source, self.threads)

    @cached_property
    def coverage(self) -> Array:
        """Share (z, y, x) of each target cell that lies in the source."""
        shares = np.ones(self.target)
        for group in self.groups:
            covered = _sums(group.rows) / group.target_cells
            covered = np.where(np.abs(covered - 1.0) < 1e-9, 1.0, np.minimum(covered, 1.0))
            shares = shares * _spread(covered, group.target, self.target)
        return shares

    def placed(self, counts: Array, *, squared: bool = False) -> Array:
        """Return counts of the source in the target cells; variances if `squared`."""
        rows = [_over(g.rows, g.source_cells[g.rows.indices]) for g in self.groups]
        return self._applied(rows, counts, squared)

    def mean(self, values: Array, *, squared: bool = False) -> Array:
        """Return means over what each target cell covers of the source; variances if `squared`, NaN where nothing."""
        rows = [_per_row(g.rows, _sums(g.rows)) for g in self.groups]
        means = self._applied(rows, values, squared)
        means[self.coverage == 0] = np.nan
        return means

    def lit(self, image: Array, *, squared: bool = False) -> Array:
        """Return the mean over each target cell of an image that is 0 beside the source; variances if `squared`."""
        rows = [_per_row(g.rows, g.target_cells) for g in self.groups]
        return self._applied(rows, image, squared)

    def placed_and_covered(self, counts: Array, *, squared: bool = False) -> tuple[Array, Array]:
        """Return counts and the coverage."""
        return self.placed(counts, squared=squared), self.coverage

    def majority(self, labels: Array, outside: int) -> tuple[Array, Array]:
        """Return the label that has most of what each target cell covers, the lowest of equals, and its share."""
        shares = np.full((*self.target, labels.shape[3]), -1.0)
        chosen = np.full(shares.shape, outside, labels.dtype)
        for label in np.unique(labels):
            # The share of a label is the mean of its indicator; ties closer than 1e-9 are rounding and go to the
            # lowest.
            share = self.mean((labels == label).astype(float))
            larger = share > shares + 1e-9
            shares[larger], chosen[larger] = share[larger], label
        return chosen, np.where(shares < 0, np.nan, shares)

    def _applied(self, matrices: Sequence[Rows], values: Array, squared: bool) -> Array:
        """Apply one matrix after the other; axes that are done stand behind those that are left."""
        if self.separable:
            return self._along_axes(matrices, values, squared)
        moved, left = values, [0, 1, 2]
        done: list[int] = []
        for group, rows in zip(self.groups, matrices, strict=True):
            at, n = [left.index(a) for a in group.source], len(group.target)
            moved = np.moveaxis(moved, at, range(len(at)))
            rest = moved.shape[len(at) :]
            summed = (rows.power(2) if squared else rows) @ moved.reshape(rows.shape[1], -1)
            moved = np.moveaxis(
                summed.reshape(*(self.target[a] for a in group.target), *rest), range(n), range(-n - 1, -1)
            )
            left = [a for a in left if a not in group.source]
            done += group.target
        return np.ascontiguousarray(np.moveaxis(moved, range(3), done))

    def _along_axes(self, matrices: Sequence[Rows], values: Array, squared: bool) -> Array:
        from fusion.grids._separable_kernels import apply

        order = {group.target[0]: (group.source[0], rows) for group, rows in zip(self.groups, matrices, strict=True)}
        source = np.moveaxis(values, [order[a][0] for a in range(3)], range(3))
        known = source.dtype if source.dtype in (np.float32, np.float64) else np.dtype(float)
        flat, out = np.ascontiguousarray(source, known).reshape(-1), np.empty((*self.target, values.shape[3]), known)
        axes = tuple((order[a][1].indptr, order[a][1].indices, order[a][1].data) for a in range(3))
        shape = (*source.shape[1:], *self.target[1:])

        def work(*slab: int) -> None:
            scratch = np.empty(np.prod(source.shape[1:])), np.empty(source.shape[2] * source.shape[3])
            apply(flat, shape, axes, out.reshape(-1), slab, 2 if squared else 1, scratch)

        in_slabs(work, out.shape, self.threads)
        return out


def exact(geometry: Geometry, *, threads: int | None = 1) -> Shares:
    """Return the operator of exact overlaps between two grids."""
    return _shares(geometry, overlap, threads)


def overlaps(geometry: Geometry, *, threads: int | None = 1) -> Shares | Footprints:
    """Return the operator of overlaps: exact, or by a table where even grids of many cells are turned in space."""
    if geometry.lattice is not None and fits(geometry.lattice):
        return Footprints(geometry)
    return exact(geometry, threads=threads)


@dataclass(frozen=True)
class Sampling:
    """Where the interpolant is read in a cell: `count` points along z, y, x over the inner `width` share of it."""

    count: tuple[int, int, int]
    width: tuple[float, float, float]

    @property
    def single(self) -> bool:
        """Return whether there is one point, in the middle."""
        return self.count == (1, 1, 1)


# A pixel's value is a mean over the pixel already. What it lacks to a mean over a voxel is a box whose second moment is
# the difference of theirs, (v² - p²) / 12: one of width sqrt(v² - p²), and none where the voxel is no larger than the
# pixel. Equal grids are then left as they are, fine ones interpolated linearly, and on coarse ones the box is the
# voxel, with no switch in between. Points are at most a quarter of a pixel apart (a half where three axes are mixed and
# there are many). The depth of a tilted plane is an edge and not interpolated over: there the box is all of the voxel,
# with points at most an eighth of the depth apart.
def sampling(geometry: Geometry) -> Sampling:
    """Return how a mean over each target cell is sampled."""
    pixels = np.array([np.diff(axis).min() for axis in geometry.source.edges])
    voxels = np.array([np.diff(axis).max() for axis in geometry.target.edges])
    steps = geometry.stretch * voxels / pixels[:, None]
    count, width = [1, 1, 1], [0.0, 0.0, 0.0]
    for source, target in geometry.groups:
        depth = 0 in source and geometry.source.shape[0] == 1
        if (geometry.flat or len(source) == 1) and depth:
            continue
        for axis in target:
            across = float(steps[[a for a in source if a or not depth], axis].max(initial=0.0))
            if depth:
                width[axis], across = 1.0, max(across, 2.0 * float(steps[0, axis]))
            elif across > 1.0:
                width[axis] = float(np.sqrt(1.0 - across**-2))
            dense = 2.0 if len(source) == 3 and not depth else 4.0
            count[axis] = max(1, int(np.ceil(dense * across * width[axis] - 1e-6)))
    return Sampling((count[0], count[1], count[2]), (width[0], width[1], width[2]))


def means(geometry: Geometry, points: Sampling, *, threads: int | None = 1) -> Shares:
    """Return the operator of means over cells; the depth of a plane that the pose leaves alone by exact overlap."""

    def weigh(geometry: Geometry, source: Axes, target: Axes) -> Group:
        thick = np.ptp(geometry.target.edges[target[0]]) > 0
        if len(source) == 1 and geometry.source.shape[source[0]] == 1 and thick:
            return overlap(geometry, source, target)
        return sampled(geometry, source, target, points.count, points.width)

    return _shares(geometry, weigh, threads)


def _shares(geometry: Geometry, weigh: Callable[[Geometry, Axes, Axes], Group], threads: int | None) -> Shares:
    groups = [weigh(geometry, source, target) for source, target in geometry.groups]
    return Shares(groups, geometry.source.shape, geometry.target.shape, threads)


def _over(rows: Rows, divisors: Vector) -> Rows:
    """Return a matrix with each stored value divided by its own number."""
    scaled = rows.copy()
    scaled.data = rows.data / divisors
    return scaled


def _per_row(rows: Rows, divisors: Vector) -> Rows:
    return _over(rows, np.repeat(divisors, np.diff(rows.indptr)))


def _sums(rows: Rows) -> Vector:
    return np.asarray(rows.sum(axis=1)).ravel()


def _spread(vector: Vector, axes: Axes, shape: Shape) -> Array:
    """Return a vector over some axes of a grid as an array that broadcasts over the grid."""
    return vector.reshape([shape[a] if a in axes else 1 for a in range(3)])
