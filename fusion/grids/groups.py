"""Sparse rows between the cells of two grids, on the axes that a pose mixes with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.grids.cells import Axes, Geometry, Vector

Array = npt.NDArray[Any]
Rows = Any  # scipy.sparse.csr_array, which is imported late
_REACH = 1e-9
"""Share of a pixel added to what a cell may touch, against rounding."""


@dataclass(frozen=True)
class Group:
    """The operator on axes that the pose mixes with each other.

    Attributes
    ----------
    source, target : tuple of int
        The axes of the two grids, 0 for z to 2 for x.
    rows : sparse array (target cells, source cells)
        Overlaps in the unit of the source; or weights of samples, which add up to the share of them in the source.
    source_cells, target_cells : array
        Length, area or volume of the cells in the same unit; 1 for samples.
    """

    source: Axes
    target: Axes
    rows: Rows
    source_cells: Vector
    target_cells: Vector

    def turned(self) -> Group:
        """Return the operator from the target to the source."""
        return Group(self.target, self.source, self.rows.T.tocsr(), self.target_cells, self.source_cells)


def overlap(geometry: Geometry, source: Axes, target: Axes) -> Group:
    """Return the exact overlaps of the cells along some axes."""
    if geometry.flat and source == (0,):
        return Group(source, target, _matrix(np.ones(1), np.zeros(1, np.int64), np.array([0, 1]), 1), *np.ones((2, 1)))
    matrix = geometry.matrix[np.ix_(source, (*target, 3))]
    edges = [geometry.source.edges[a] for a in source]
    middles, halves = geometry.target.along(target)
    rows = overlap_rows(edges, _seen(matrix, middles), halves, matrix[:, :-1])
    # The determinant of the pose is the volume that a unit of the target has in the source.
    target_cells = geometry.target.measure(target) * abs(np.linalg.det(matrix[:, :-1]))
    return Group(source, target, rows, geometry.source.measure(source), target_cells)


def overlap_rows(edges: Sequence[Vector], seen: Array, halves: Array, matrix: Array) -> Rows:
    """Return the overlaps of cells between edges with cells that a pose has turned, as a sparse array.

    Parameters
    ----------
    edges : d vectors
        Of the cells of the columns.
    seen, halves : arrays (d, n)
        Middles of the cells of the rows in the unit of the edges, and their half-widths in their own.
    matrix : array (d, d)
        Leads from the one unit to the other.
    """
    reach = _seen(np.abs(matrix), halves)
    spans = _spans(edges, seen - reach, seen + reach, 0)
    pointers, values, columns = _empty(spans)
    _fill_overlaps(edges, (seen, halves, reach), matrix, spans, (pointers, values, columns))
    return _matrix(values, columns, pointers, int(np.prod([axis.size - 1 for axis in edges])))


def _fill_overlaps(edges: Any, cells: Any, matrix: Array, spans: Array, rows: Any) -> None:
    from fusion.grids import _share_kernels

    kernels: Any = _share_kernels
    edges, step, (seen, halves, reach) = tuple(map(_frozen, edges)), np.ascontiguousarray(matrix), cells
    corners = 1 + (spans[:, 1] - spans[:, 0]).max(axis=1, initial=0)
    if len(edges) == 1:
        kernels.fill_1d(edges[0], (seen - reach)[0], (seen + reach)[0], spans, rows)
    elif len(edges) == 2:
        kernels.fill_2d(*edges, (seen, halves), step, spans, rows, (np.empty((4, 2)), np.empty(corners)))
    else:
        clipped = [np.empty((6, 12, 3)) for _ in range(3)]
        scratch = (np.empty((6, 4, 3)), *clipped, np.empty((2, 6), np.int64), np.empty(corners))
        kernels.fill_3d(edges, (seen, halves), step, spans, rows, scratch)


def sampled(geometry: Geometry, source: Axes, target: Axes, count: Axes, width: tuple[float, ...]) -> Group:
    """Return the weights of `count` samples of the interpolant along z, y, x of the inner `width` of each cell.

    The kernel takes three axes; those of other groups are one cell at 0.
    """
    from fusion.grids import _share_kernels as kernels

    n = geometry.target.measure(target).size
    middles, halves = np.zeros((3, n)), np.zeros((3, n))
    middles[list(target)], halves[list(target)] = geometry.target.along(target)
    halves *= np.array(width)[:, None]
    axes = [geometry.source.middles[a] if a in source else np.zeros(1) for a in range(3)]
    edges = [geometry.source.edges[a] if a in source else np.array([-1.0, 1.0]) for a in range(3)]
    matrix = np.zeros((3, 4))
    matrix[np.ix_(source, (*target, 3))] = geometry.matrix[np.ix_(source, (*target, 3))]
    seen, reach = _seen(matrix, middles), _seen(np.abs(matrix[:, :3]), halves)
    reach += _REACH * np.array([np.diff(axis).min() for axis in edges])[:, None]
    spans = _spans(axes, seen - reach, seen + reach, 1)
    ends = np.array([axis[[0, -1]] for axis in edges])
    spans *= ((seen + reach >= ends[:, :1]) & (seen - reach <= ends[:, 1:])).all(axis=0)
    pointers, values, columns = _empty(spans)
    values[:] = 0.0
    points = tuple(int(count[a]) if a in target else 1 for a in range(3))
    grids = tuple(map(_frozen, axes)), tuple(map(_frozen, edges))
    scratch = np.empty(3, np.int64), np.empty(3)
    kernels.fill_means(grids, (seen, halves), matrix[:, :3].copy(), points, spans, (pointers, values, columns), scratch)
    size = int(np.prod([geometry.source.shape[a] for a in source]))
    return Group(source, target, _matrix(values, columns, pointers, size), np.ones(size), np.ones(n))


# One number at a time and no matrix product, whose rounding could depend on how many cells it is taken for.
def _seen(matrix: Array, points: Array) -> Array:
    """Return points (d, n) mapped by a matrix (d, d) or (d, d + 1)."""
    return np.stack([sum((c * p for c, p in zip(row, [*points, 1.0], strict=False)), start=0.0) for row in matrix])


def _spans(axes: Any, low: Array, high: Array, margin: int) -> Array:
    """Return first cell and the one after the last (d, 2, n) that intervals touch along each axis.

    An axis is the edges of its cells, or their centres: then a margin of one adds the neighbours that interpolation
    reads.
    """
    touched = np.empty((len(axes), 2, low.shape[1]), np.int64)
    for a, axis in enumerate(axes):
        size = axis.size - (margin == 0)
        touched[a, 0] = np.clip(np.searchsorted(axis, low[a], side="right") - 1 - margin, 0, size)
        touched[a, 1] = np.clip(np.searchsorted(axis, high[a], side="left") + margin, touched[a, 0], size)
    return touched


def _empty(spans: Array) -> tuple[Array, Array, Array]:
    """Return where each row begins, and arrays for values and columns of all that may be touched."""
    pointers = np.zeros(spans.shape[2] + 1, np.int64)
    np.cumsum(np.prod(spans[:, 1] - spans[:, 0], axis=0), out=pointers[1:])
    return pointers, np.empty(pointers[-1]), np.empty(pointers[-1], np.int64)


def _matrix(values: Array, columns: Array, pointers: Array, size: int) -> Rows:
    from scipy.sparse import csr_array

    rows = csr_array((values, columns, pointers), shape=(pointers.size - 1, size))
    rows.eliminate_zeros()
    return rows


def _frozen(array: Array) -> Array:
    """Return a read-only view, so that Numba compiles one variant for writable and read-only input."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
