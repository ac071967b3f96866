"""Overlaps of the cells of two grids, and means over cells, as sparse rows: bare arrays in, bare arrays out.

A row belongs to a cell of the target, its columns to cells of the source. The cells are boxes between ascending edges;
a (d, d + 1) matrix maps a target position to a source position. A row is computed from its own cell and the edges near
it alone, so that it is the same to the last bit in whatever piece of the grid it is computed.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = tuple[Array, Array, Array]
"""Values, columns and row pointers of a matrix in CSR form; some values are zero."""
Number = Any

NOISE = 1e-12
"""Share of a target cell below which an overlap is the rounding noise of the differences that it is computed from."""
RIM = 1e-9
"""Share of a pixel, or of the extent of the source, by which a sample may miss a centre or an edge by rounding."""

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _bounds(edges: Array, low: Number, high: Number) -> tuple[Number, Number]:
    """Return the first cell that an interval touches, and the one after the last."""
    last = edges.size - 1
    start: Number = min(max(np.searchsorted(edges, low, side="right") - 1, 0), last)
    return start, min(max(np.searchsorted(edges, high, side="left"), start), last)


@_jit
def _reach(matrix: Array, axis: int, half: Array) -> Number:
    """Return how far a mapped cell of some half-widths extends from its middle along a source axis."""
    total = 0.0
    for a in range(half.size):
        total += abs(matrix[axis, a]) * half[a]
    return total


@_jit
def _mapped(matrix: Array, axis: int, point: Array) -> Number:
    total = matrix[axis, point.size]
    for a in range(point.size):
        total += matrix[axis, a] * point[a]
    return total


@_jit
def overlaps_1d(source: Array, target: Array, matrix: Array) -> Rows:
    """Return the length of each source cell within each target cell, in the unit of the source."""
    n = target.size - 1
    # |[a, b] ∩ [c, d]| = min(b, d) - max(a, c). Two passes: the first counts, the second writes into rows of that
    # length.
    ends, spans = np.empty((n, 2)), np.empty((n, 2), np.int64)
    pointers = np.zeros(n + 1, np.int64)
    for t in range(n):
        a, b = matrix[0, 0] * target[t] + matrix[0, 1], matrix[0, 0] * target[t + 1] + matrix[0, 1]
        ends[t, 0], ends[t, 1] = min(a, b), max(a, b)
        spans[t, 0], spans[t, 1] = _bounds(source, ends[t, 0], ends[t, 1])
        pointers[t + 1] = pointers[t] + spans[t, 1] - spans[t, 0]
    values, columns = np.empty(pointers[n]), np.empty(pointers[n], np.int64)
    for t in range(n):
        low, high = ends[t]
        for s in range(spans[t, 0], spans[t, 1]):
            length = min(high, source[s + 1]) - max(low, source[s])
            at = pointers[t] + s - spans[t, 0]
            values[at], columns[at] = (length if length > NOISE * (high - low) else 0.0), s
    return values, columns, pointers


# Area of a polygon within the quadrant y >= b, x >= a. Its boundary there consists of the clipped edges of the polygon
# and of pieces of the two lines of the quadrant. Seen from the corner (b, a) the latter span no area, so that half the
# sum of cross products over the clipped edges is the area, and no polygon needs to be closed. The overlap with a
# rectangle is a difference of four quadrants. Neighbouring rectangles share quadrants, so that the overlaps of all
# cells of a grid add up to the area of the polygon by cancellation, to rounding, whatever the pose.
@_jit
def _quadrant(corners: Array, b: Number, a: Number) -> Number:
    total = 0.0
    for e in range(4):
        y0, x0 = corners[e, 0] - b, corners[e, 1] - a
        y1, x1 = corners[(e + 1) % 4, 0] - b, corners[(e + 1) % 4, 1] - a
        if (y0 < 0 and y1 < 0) or (x0 < 0 and x1 < 0):
            continue
        if y0 < 0:
            y0, x0 = 0.0, x0 - y0 * (x1 - x0) / (y1 - y0)
        elif y1 < 0:
            y1, x1 = 0.0, x1 - y1 * (x0 - x1) / (y0 - y1)
        if x0 < 0 and x1 < 0:
            continue
        if x0 < 0:
            x0, y0 = 0.0, y0 - x0 * (y1 - y0) / (x1 - x0)
        elif x1 < 0:
            x1, y1 = 0.0, y1 - x1 * (y0 - y1) / (x0 - x1)
        total += x0 * y1 - x1 * y0
    return abs(total) / 2


@_jit
def overlaps_2d(sy: Array, sx: Array, middles: Array, halves: Array, matrix: Array) -> Rows:
    """Return the area of each source cell within each target cell, in the unit of the source.

    The target cells are listed by their middles (n, 2) and half-widths (n, 2).
    """
    n = middles.shape[0]
    spans, pointers = np.empty((n, 4), np.int64), np.zeros(n + 1, np.int64)
    for t in range(n):
        for a, edges in enumerate((sy, sx)):
            middle, reach = _mapped(matrix, a, middles[t]), _reach(matrix, a, halves[t])
            spans[t, 2 * a], spans[t, 2 * a + 1] = _bounds(edges, middle - reach, middle + reach)
        pointers[t + 1] = pointers[t] + (spans[t, 1] - spans[t, 0]) * (spans[t, 3] - spans[t, 2])
    values, columns = np.empty(pointers[n]), np.empty(pointers[n], np.int64)
    corners, noise = np.empty((4, 2)), NOISE * 4 * abs(np.linalg.det(np.ascontiguousarray(matrix[:, :2])))
    quadrants = np.empty((np.max(spans[:, 1] - spans[:, 0]) + 1, np.max(spans[:, 3] - spans[:, 2]) + 1))
    for t in range(n):
        for a in range(2):
            y, x = matrix[a, 0] * halves[t, 0], matrix[a, 1] * halves[t, 1]
            corners[0, a], corners[1, a], corners[2, a], corners[3, a] = -y - x, -y + x, y + x, y - x
        y0, y1, x0, x1 = spans[t]
        ny, nx, y, x = y1 - y0, x1 - x0, _mapped(matrix, 0, middles[t]), _mapped(matrix, 1, middles[t])
        for j in range(ny + 1):
            for i in range(nx + 1):
                quadrants[j, i] = _quadrant(corners, sy[y0 + j] - y, sx[x0 + i] - x)
        least, at = noise * halves[t, 0] * halves[t, 1], pointers[t]
        for j in range(ny):
            for i in range(nx):
                area = (quadrants[j, i] - quadrants[j, i + 1]) - (quadrants[j + 1, i] - quadrants[j + 1, i + 1])
                values[at], columns[at] = (area if area > least else 0.0), (y0 + j) * (sx.size - 1) + x0 + i
                at += 1
    return values, columns, pointers


@_jit
def _above(polygon: Array, n: int, axis: int, bound: Number, out: Array) -> int:
    """Clip a polygon in space to where one coordinate is at least a bound (Sutherland and Hodgman); return its size."""
    kept = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        here, there = polygon[i, axis] - bound, polygon[j, axis] - bound
        if here >= 0:
            out[kept, 0], out[kept, 1], out[kept, 2] = polygon[i, 0], polygon[i, 1], polygon[i, 2]
            kept += 1
        if (here < 0) != (there < 0):
            share = here / (here - there)
            for c in range(3):
                out[kept, c] = polygon[i, c] + share * (polygon[j, c] - polygon[i, c])
            out[kept, axis] = bound
            kept += 1
    return kept


@_jit
def _pyramid(polygon: Array, n: int, z: Number, y: Number, x: Number) -> Number:
    """Return six times the signed volume between a polygon and an apex."""
    total = 0.0
    az, ay, ax = polygon[0, 0] - z, polygon[0, 1] - y, polygon[0, 2] - x
    for i in range(1, n - 1):
        bz, by, bx = polygon[i, 0] - z, polygon[i, 1] - y, polygon[i, 2] - x
        cz, cy, cx = polygon[i + 1, 0] - z, polygon[i + 1, 1] - y, polygon[i + 1, 2] - x
        total += az * (by * cx - bx * cy) + ay * (bx * cz - bz * cx) + ax * (bz * cy - by * cz)
    return total


# Volume of a parallelepiped within the octants z >= e, y >= b, x >= a of all corners of a piece of a grid. As for
# areas, it is the sum of the pyramids from the corner of the octant to the clipped faces; caps need not be built,
# because they lie in planes through the apex (Gauss' theorem; Powell and Abel, J. Comput. Phys. 297, 340 (2015) clip
# the polyhedron itself). The faces are clipped by z once for each plane, by y once for each line, by x for each corner.
@_jit
def _octants(faces: Array, e: Array, b: Array, a: Array, work: Array, volumes: Array) -> None:
    in_z, in_y = np.zeros(6, np.int64), np.zeros(6, np.int64)
    for k in range(e.size):
        for f in range(6):
            in_z[f] = _above(faces[f], 4, 0, e[k], work[0, f])
        for j in range(b.size):
            for f in range(6):
                in_y[f] = _above(work[0, f], in_z[f], 1, b[j], work[1, f])
            for i in range(a.size):
                total = 0.0
                for f in range(6):
                    n = _above(work[1, f], in_y[f], 2, a[i], work[2, f])
                    if n > 2:
                        total += _pyramid(work[2, f], n, e[k], b[j], a[i])
                volumes[k, j, i] = abs(total) / 6


@_jit
def _faces(matrix: Array, half: Array, faces: Array) -> None:
    """Write the six faces of a mapped cell about its middle, all seen from outside or all from inside."""
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for side in range(2):
            for c in range(4):
                # around the face one way on the upper side, the other way on the lower
                along_u = 1.0 if c in (1, 2) else -1.0
                along_v = 1.0 if c in (2, 3) else -1.0
                corner = c if side else 3 - c
                for w in range(3):
                    faces[2 * axis + side, corner, w] = (
                        (2.0 * side - 1.0) * matrix[w, axis] * half[axis]
                        + along_u * matrix[w, u] * half[u]
                        + along_v * matrix[w, v] * half[v]
                    )


@_jit
def overlaps_3d(sz: Array, sy: Array, sx: Array, middles: Array, halves: Array, matrix: Array) -> Rows:
    """Return the volume of each source cell within each target cell, in the unit of the source.

    The target cells are listed by their middles (n, 3) and half-widths (n, 3).
    """
    n = middles.shape[0]
    spans, pointers = _spans_3d(sz, sy, sx, middles, halves, matrix)
    values, columns = np.empty(pointers[n]), np.empty(pointers[n], np.int64)
    faces, work = np.empty((6, 4, 3)), np.empty((3, 6, 12, 3))
    noise = NOISE * 8 * abs(np.linalg.det(np.ascontiguousarray(matrix[:, :3])))
    for t in range(n):
        if pointers[t] == pointers[t + 1]:
            continue
        _faces(matrix, halves[t], faces)
        z0, z1, y0, y1, x0, x1 = spans[t]
        e = sz[z0 : z1 + 1] - _mapped(matrix, 0, middles[t])
        b = sy[y0 : y1 + 1] - _mapped(matrix, 1, middles[t])
        a = sx[x0 : x1 + 1] - _mapped(matrix, 2, middles[t])
        octants = np.empty((e.size, b.size, a.size))
        _octants(faces, e, b, a, work, octants)
        least, at = noise * halves[t, 0] * halves[t, 1] * halves[t, 2], pointers[t]
        for k in range(e.size - 1):
            for j in range(b.size - 1):
                for i in range(a.size - 1):
                    near = octants[k, j, i] - octants[k, j, i + 1] - octants[k, j + 1, i] + octants[k, j + 1, i + 1]
                    k1 = k + 1
                    far = octants[k1, j, i] - octants[k1, j, i + 1] - octants[k1, j + 1, i] + octants[k1, j + 1, i + 1]
                    values[at] = near - far if near - far > least else 0.0
                    columns[at] = ((z0 + k) * (sy.size - 1) + y0 + j) * (sx.size - 1) + x0 + i
                    at += 1
    return values, columns, pointers


@_jit
def _spans_3d(sz: Array, sy: Array, sx: Array, middles: Array, halves: Array, matrix: Array) -> tuple[Array, Array]:
    n = middles.shape[0]
    spans, pointers = np.empty((n, 6), np.int64), np.zeros(n + 1, np.int64)
    for t in range(n):
        count = 1
        for a, edges in enumerate((sz, sy, sx)):
            middle, reach = _mapped(matrix, a, middles[t]), _reach(matrix, a, halves[t])
            spans[t, 2 * a], spans[t, 2 * a + 1] = _bounds(edges, middle - reach, middle + reach)
            count *= spans[t, 2 * a + 1] - spans[t, 2 * a]
        pointers[t + 1] = pointers[t] + count
    return spans, pointers


@_jit
def _hat(centres: Array, edges: Array, position: Number) -> tuple[Number, Number, Number]:
    """Return the pixel below a position, the fraction towards the next one, and whether a cell holds the position.

    Within the outer half of an outermost pixel the value is that of the pixel.
    """
    n = centres.size
    rim = RIM * (edges[n] - edges[0])
    inside = edges[0] - rim <= position < edges[n] - rim
    if n == 1:
        return 0, 0.0, inside
    cell: Number = min(max(np.searchsorted(centres, position, side="right") - 1, 0), n - 2)
    fraction = (position - centres[cell]) / (centres[cell + 1] - centres[cell])
    if fraction < RIM or fraction > 1 - RIM:
        fraction = np.rint(min(max(fraction, 0.0), 1.0))
    return cell, fraction, inside


# Mean over a target cell of the multilinear interpolant of the source, by the midpoint rule on `samples` points along
# each target axis. The weights of a sample add up to 1, and the samples lie symmetrically, so that constants and linear
# fields are exact; a row adds up to the share of its samples that lie in the source. One sample is plain interpolation
# at the middle of the cell; many come to the integral with the square of their distance.
@_jit
def mean_rows(centres: Any, edges: Any, middles: Array, halves: Array, matrix: Array, samples: Array) -> Rows:
    """Return the weight of each source cell in the mean over each target cell.

    `centres` and `edges` are those of three source axes, `middles` and `halves` (n, 3) those of the target cells,
    `samples` (3,) the points along each of its axes.
    """
    n, ny, nx = middles.shape[0], centres[1].size, centres[2].size
    spans, pointers = _spans_mean(centres, middles, halves, matrix)
    values, columns = np.zeros(pointers[n]), np.empty(pointers[n], np.int64)
    for t in range(n):
        z0, _, y0, y1, x0, x1 = spans[t]
        wide, deep = x1 - x0, (y1 - y0) * (x1 - x0)
        for p in range(pointers[t], pointers[t + 1]):
            k, rest = divmod(p - pointers[t], deep)
            columns[p] = ((z0 + k) * ny + y0 + rest // wide) * nx + x0 + rest % wide
        row, cell = values[pointers[t] : pointers[t + 1]], (middles[t], halves[t])
        _add_samples(row, spans[t], (centres, edges), cell, matrix, samples)
    return values, columns, pointers


@_jit
def _add_samples(row: Array, span: Array, axes: Number, cell: Number, matrix: Array, samples: Array) -> None:
    (centres, edges), (middle, half) = axes, cell
    z0, _, y0, y1, x0, x1 = span
    point, weight = np.empty(3), 1.0 / (samples[0] * samples[1] * samples[2])
    for s in range(samples[0] * samples[1] * samples[2]):
        index = (s // (samples[1] * samples[2]), s // samples[2] % samples[1], s % samples[2])
        for a in range(3):
            point[a] = middle[a] + half[a] * ((2 * index[a] + 1) / samples[a] - 1)
        k, fz, in_z = _hat(centres[0], edges[0], _mapped(matrix, 0, point))
        j, fy, in_y = _hat(centres[1], edges[1], _mapped(matrix, 1, point))
        i, fx, in_x = _hat(centres[2], edges[2], _mapped(matrix, 2, point))
        if not (in_z and in_y and in_x):
            continue
        for corner in range(8):
            dz, dy, dx = corner >> 2, corner >> 1 & 1, corner & 1
            share = (fz if dz else 1 - fz) * (fy if dy else 1 - fy) * (fx if dx else 1 - fx)
            if share > 0:
                row[((k + dz - z0) * (y1 - y0) + j + dy - y0) * (x1 - x0) + i + dx - x0] += weight * share


@_jit
def _spans_mean(centres: Any, middles: Array, halves: Array, matrix: Array) -> tuple[Array, Array]:
    """Return the pixels that the samples of each cell can read, with their neighbours."""
    n = middles.shape[0]
    spans, pointers = np.empty((n, 6), np.int64), np.zeros(n + 1, np.int64)
    for t in range(n):
        count = 1
        for a in range(3):
            axis = centres[a]
            middle, reach = _mapped(matrix, a, middles[t]), _reach(matrix, a, halves[t])
            spans[t, 2 * a] = min(max(np.searchsorted(axis, middle - reach, side="right") - 2, 0), axis.size - 1)
            spans[t, 2 * a + 1] = min(max(np.searchsorted(axis, middle + reach, side="left") + 2, 1), axis.size)
            count *= spans[t, 2 * a + 1] - spans[t, 2 * a]
        pointers[t + 1] = pointers[t] + count
    return spans, pointers
