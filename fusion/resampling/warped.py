"""Reading at the centres of voxels through a warp, which is computed at the nodes of a lattice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.grids.cells import Cells, Geometry, Span, Vector
from fusion.resampling.points import OUTSIDE, Points, points
from fusion.warp import Warp

Array = npt.NDArray[Any]
Knots = tuple[Vector, Vector, Vector]
_COARSEST: Final = 8
"""Steps of the first lattice along an axis."""
_CLOSE: Final = 0.01
"""Pixels by which a position between nodes may be off."""


@dataclass(frozen=True)
class Warped:
    """How to read a source (z, y, x, channel) at the centres of a grid through a warp.

    Attributes
    ----------
    straight : Points
        The grid and the axes of the source; its matrix leads from um to pixel indices there.
    knots : three vectors
        Where the nodes of the lattice lie along z, y, x of the grid.
    positions : array (a, b, c, 3)
        The pixel indices that the nodes belong to, or coordinates on uneven axes; NaN where the warp has no inverse.
    """

    straight: Points
    knots: Knots
    positions: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the grid."""
        return self.straight.shape

    def for_variances(self) -> Warped:
        """Return the reader of variances, with the weights squared; those of one pixel are 1."""
        return replace(self, straight=self.straight.for_variances())

    def dtypes(self, source: Any) -> tuple[Any, Any]:
        """Return the dtypes of values and of coverage."""
        return self.straight.dtypes(source)

    def window(self, span: Span, shape: tuple[int, ...]) -> Span:
        """Return the pixels that a box of the grid can see: a trilinear position lies between those of its nodes."""
        # the first node at or before the box and the first one behind it, along each axis
        nodes = self.positions
        for axis, (knots, middles, s) in enumerate(zip(self.knots, self.straight.target.middles, span, strict=True)):
            low = max(int(np.searchsorted(knots, middles[s].min(), side="right")) - 1, 0)
            high = int(np.searchsorted(knots, middles[s].max()))
            nodes = np.take(nodes, np.arange(low, min(high + 1, knots.size)), axis=axis)
        seen: Array = nodes.reshape(-1, 3)
        return self.straight.seen(seen[np.isfinite(seen).all(axis=1)].T, shape)

    def read(self, full: Array, span: Span, window: Span) -> tuple[Array, Array]:
        """Return values and coverage of a box of the grid from a window of the source, on one thread."""
        # indices count from the first pixel of the window
        moved, axes = self.positions.copy(), list(self.straight.axes)
        for row, (axis, seen) in enumerate(zip(axes, window, strict=True)):
            if axis is None:
                moved[..., row] -= seen.start
            else:
                axes[row] = axis[seen.start : seen.start + full.shape[row]]
        part = replace(self.straight, target=self.straight.target.part(span), axes=tuple(axes))
        return replace(self, straight=part, positions=moved).read_all(full, threads=1)

    def read_all(self, full: Array, *, threads: int | None = None) -> tuple[Array, Array]:
        """Return values (z, y, x, channel) and coverage (z, y, x) on the grid."""
        from fusion.resampling import _warp_kernels as kernels

        straight = self.straight
        out = np.empty((*self.shape, full.shape[3]), dtype=full.dtype)
        inside = np.empty(self.shape, dtype=np.uint8)
        lattice, grid = (self.knots, self.positions), straight.target.middles
        options: dict[str, Any] = {"axes": straight.axes, "half": straight.half, "threads": threads}
        if straight.method == "nearest":
            fill = np.nan if full.dtype.kind == "f" else OUTSIDE
            kernels.nearest(np.ascontiguousarray(full), lattice, grid, out, inside, fill=fill, **options)
        else:
            options |= {"squared": straight.squared, "rim": straight.rim}
            kernels.linear(np.ascontiguousarray(full), lattice, grid, out, inside, **options)
        return out, inside


def warped(
    ds: xr.Dataset, geometry: Geometry, warp: Warp, method: Literal["linear", "nearest"], *, rim: float = 0.0
) -> Warped:
    """Return how a dataset is read at the centres of a grid through a warp that leads from the one to the other."""
    straight = points(ds, replace(geometry, matrix=np.eye(4)[:3]), method, rim=rim)
    knots, positions = _lattice(warp.inverse(), geometry, straight.matrix)
    return Warped(straight, knots, positions)


# A lattice is halved until its nodes lie, to 0.04 of a pixel, where the lattice before had interpolated them: the error
# of trilinear interpolation falls with the square of the step, so that the new lattice is good to 0.01.
def _lattice(back: Warp, geometry: Geometry, matrix: Vector) -> tuple[Knots, Array]:
    """Return the nodes of a lattice over the grid, and the pixel indices that belong to them."""
    # um to pixels: 1 / step where the axis is even, and on uneven axes the coordinate itself over its smallest pixel
    pixels = np.array([np.diff(axis).min() for axis in geometry.source.edges])
    scale = np.abs(matrix[:, :3]).sum(axis=1) * pixels
    counts = [min(_COARSEST, axis.size - 1) for axis in geometry.target.middles]
    knots = _knots(geometry.target, counts)
    positions = _positions(back, knots, matrix)
    while any(count < axis.size - 1 for count, axis in zip(counts, geometry.target.middles, strict=True)):
        counts = [min(2 * count, axis.size - 1) for count, axis in zip(counts, geometry.target.middles, strict=True)]
        finer = _knots(geometry.target, counts)
        guessed, positions = _interpolated(knots, positions, finer), _positions(back, finer, matrix)
        knots = finer
        off = np.abs(positions - guessed) / scale
        if not np.nanmax(off, initial=0.0) > 4.0 * _CLOSE:
            break
    return knots, positions


def _knots(target: Cells, counts: list[int]) -> Knots:
    z, y, x = (np.linspace(axis[0], axis[-1], count + 1) for axis, count in zip(target.middles, counts, strict=True))
    return z, y, x


def _positions(back: Warp, knots: Knots, matrix: Vector) -> Array:
    nodes = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1)
    return np.asarray(back(nodes) @ matrix[:, :3].T + matrix[:, 3])


def _interpolated(knots: Knots, positions: Array, finer: Knots) -> Array:
    """Return the positions at the nodes of a finer lattice, trilinear between those of a coarse one."""
    for axis, (coarse, fine) in enumerate(zip(knots, finer, strict=True)):
        if coarse.size > 1:
            cell = np.clip(np.searchsorted(coarse, fine, side="right") - 1, 0, coarse.size - 2)
            # the fraction of the cell, along this axis only; three passes make the interpolation trilinear
            part = ((fine - coarse[cell]) / np.diff(coarse)[cell]).reshape(-1, *[1] * (3 - axis))
            low, high = (np.take(positions, cell + step, axis=axis) for step in (0, 1))
            positions = low * (1.0 - part) + high * part
    return positions
