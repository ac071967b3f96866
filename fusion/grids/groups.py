"""Sparse rows between the cells of two grids, on the axes that a pose mixes with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.grids.cells import Axes, Vector
from fusion.grids.geometry import Geometry

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
    edges = [geometry.source.edges[a] for a in source]
    rows, volumes = overlap_rows(edges, geometry.corners(source, target), bent=geometry.mesh is not None)
    return Group(source, target, rows, geometry.source.measure(source), volumes)


def overlap_rows(edges: Sequence[Vector], corners: Array, *, bent: bool = False) -> tuple[Rows, Vector]:
    """Return the overlaps of cells between edges with cells anywhere, as a sparse array, and the volumes of the latter.

    Parameters
    ----------
    edges : d vectors
        Of the cells of the columns.
    corners : array (n, 2 ** d, d)
        Of the cells of the rows, in the same unit; the last of their own axes fastest.
    bent : bool
        Whether the four corners of a face of a solid may lie in no plane; each face is then two triangles.
    """
    spans = _spans(edges, corners.min(axis=1).T, corners.max(axis=1).T, 0)
    pointers, values, columns = _empty(spans)
    volumes = np.empty(len(corners))
    _fill_overlaps(edges, _frozen(corners), spans, (pointers, values, columns), volumes, bent)
    return _matrix(values, columns, pointers, int(np.prod([axis.size - 1 for axis in edges]))), volumes


def _fill_overlaps(edges: Any, corners: Array, spans: Array, rows: Any, volumes: Vector, bent: bool) -> None:
    from fusion.grids import _share_kernels

    kernels: Any = _share_kernels
    edges = tuple(map(_frozen, edges))
    most = 1 + (spans[:, 1] - spans[:, 0]).max(axis=1, initial=0)
    if len(edges) == 1:
        kernels.fill_1d(edges[0], corners, spans, rows, volumes)
    elif len(edges) == 2:
        kernels.fill_2d(*edges, corners, spans, rows, volumes, (np.empty((4, 2)), np.empty(most)))
    else:
        faces = _frozen(_faces(bent))
        clipped = [np.empty((len(faces), 12, 3)) for _ in range(4)]
        scratch = np.empty(3), *clipped, np.empty((2, 12), np.int64), np.empty(most)
        kernels.fill_3d(edges, corners, faces, spans, rows, volumes, scratch)


# Seen from outside all rings go round the same way. The two faces across an axis are split along the diagonal between
# the same two corners, so that neighbouring cells share triangles and leave no gap.
def _faces(bent: bool) -> Array:
    """Return the faces of a cell as rings of its corners (f, v): six of four corners, or twelve triangles."""
    faces = []
    for axis, side in product(range(3), range(2)):
        u, v = 4 >> (axis + 1) % 3, 4 >> (axis + 2) % 3
        ring = [0, u, u + v, v] if side else [0, v, u + v, u]
        corners = [side * (4 >> axis) + corner for corner in ring]
        faces += [corners[:3], [corners[0], *corners[2:]]] if bent else [corners]
    return np.array(faces)


def sampled(geometry: Geometry, source: Axes, target: Axes, count: Axes, width: tuple[float, ...]) -> Group:
    """Return the weights of `count` samples of the interpolant along z, y, x of the inner `width` of each cell.

    The kernel takes three axes of the source; those of other groups are one cell at 0.
    """
    from fusion.grids import _share_kernels as kernels

    axes = [geometry.source.middles[a] if a in source else np.zeros(1) for a in range(3)]
    edges = [geometry.source.edges[a] if a in source else np.array([-1.0, 1.0]) for a in range(3)]
    inner = _shrunk(geometry.corners(source, target), [width[a] for a in target])
    corners = np.zeros((*inner.shape[:2], 3))
    corners[..., source] = inner
    slack = _REACH * np.array([np.diff(axis).min() for axis in edges])[:, None]
    low, high = corners.min(axis=1).T - slack, corners.max(axis=1).T + slack
    spans = _spans(axes, low, high, 1)
    ends = np.array([axis[[0, -1]] for axis in edges])
    spans *= ((high >= ends[:, :1]) & (low <= ends[:, 1:])).all(axis=0)
    pointers, values, columns = _empty(spans)
    values[:] = 0.0
    grids, scratch = (tuple(map(_frozen, axes)), tuple(map(_frozen, edges))), (np.empty(3, np.int64), np.empty(3))
    samples = _frozen(_samples([count[a] for a in target]))
    kernels.fill_means(grids, _frozen(corners), samples, spans, (pointers, values, columns), scratch)
    size = int(np.prod([geometry.source.shape[a] for a in source]))
    return Group(source, target, _matrix(values, columns, pointers, size), np.ones(size), np.ones(len(corners)))


def _shrunk(corners: Array, width: Sequence[float]) -> Array:
    """Return the corners (n, 2 ** d, d) of the inner part of each cell, a share of its width along each axis."""
    solid = corners.reshape(len(corners), *(2,) * len(width), -1)
    for axis, share in enumerate(width, 1):
        low, high = np.take(solid, [0], axis), np.take(solid, [1], axis)
        middle, half = (low + high) / 2, (high - low) / 2 * share
        solid = np.concatenate([middle - half, middle + half], axis)
    return np.asarray(solid.reshape(corners.shape))


def _samples(count: Sequence[int]) -> Array:
    """Return the weights (samples, 2 ** d) of the corners of a cell in evenly spaced points of it."""
    weights: Array = np.ones((1, 1))
    for n in count:
        share = (np.arange(n) + 0.5) / n
        weights = np.kron(weights, np.column_stack([1 - share, share]))
    return weights


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
