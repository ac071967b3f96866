"""Overlaps of the cells of two grids, and means over cells, as sparse rows: bare arrays in, bare arrays out.

A row belongs to a cell of the target, its columns to cells of the source. The cells of the source are boxes between
ascending edges; those of the target lie where their `corners` (n, 2 ** d, d) do, in coordinates of the source, the last
axis of the target fastest. The source cells that a target cell may touch are known (`spans` (d, 2, n)), and where its
row begins (`pointers`); the kernels fill in values and columns, and the `volumes` of the target cells. A row is
computed from its own cell and the edges near it alone, so that it is the same to the last bit in whatever piece of the
grid it is computed. Scratch arrays come from the caller: Numba takes long to compile what allocates or slices.
"""

from typing import Any

from numpy.typing import NDArray

from fusion._kernels import kernel, part
from fusion.grids._axis_kernels import count_up_to

Array = NDArray[Any]
Number = Any

NOISE = 1e-12
"""Share of a target cell below which an overlap is the rounding noise of the differences that it is computed from."""
RIM = 1e-9
"""Share of a pixel, or of the extent of the source, by which a sample may miss a centre or an edge by rounding."""


@kernel
def fill_1d(edges: Array, corners: Array, spans: Array, rows: Any, volumes: Array) -> None:
    """Write the length of each source cell within each target cell, in the unit of the source."""
    pointers, values, columns = rows
    # |[a, b] ∩ [c, d]| = min(b, d) - max(a, c)
    for t in range(corners.shape[0]):
        low, high = min(corners[t, 0, 0], corners[t, 1, 0]), max(corners[t, 0, 0], corners[t, 1, 0])
        volumes[t] = high - low
        for s in range(spans[0, 0, t], spans[0, 1, t]):
            length = min(high, edges[s + 1]) - max(low, edges[s])
            at = pointers[t] + s - spans[0, 0, t]
            values[at], columns[at] = (length if length > NOISE * (high - low) else 0.0), s


# Area of a polygon within the quadrant y >= b, x >= a. Its boundary there consists of the clipped edges of the polygon
# and of pieces of the two lines of the quadrant. Seen from the corner (b, a) the latter span no area, so that half the
# sum of cross products over the clipped edges is the area, and no polygon needs to be closed. The overlap with a
# rectangle is a difference of four quadrants. Neighbouring rectangles share quadrants, so that the overlaps of all
# cells of a grid add up to the area of the polygon by cancellation, to rounding, whatever the pose.
@part
def _quadrant(corners: Array, b: Number, a: Number) -> Number:
    total = 0.0
    for e in range(4):
        f = e + 1 if e < 3 else 0
        y0, x0 = corners[e, 0] - b, corners[e, 1] - a
        y1, x1 = corners[f, 0] - b, corners[f, 1] - a
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


@kernel
def fill_2d(sy: Array, sx: Array, corners: Array, spans: Array, rows: Any, volumes: Array, scratch: Any) -> None:
    """Write the area of each source cell within each target cell, in the unit of the source.

    `rows` is (pointers, values, columns), `scratch` (ring (4, 2), quadrants).
    """
    (pointers, values, columns), (ring, quadrants) = rows, scratch
    for t in range(corners.shape[0]):
        # about the middle, for precision, and once round: 0, 1, 3, 2
        y = (corners[t, 0, 0] + corners[t, 1, 0] + corners[t, 2, 0] + corners[t, 3, 0]) / 4
        x = (corners[t, 0, 1] + corners[t, 1, 1] + corners[t, 2, 1] + corners[t, 3, 1]) / 4
        for c in range(4):
            ring[c ^ (c >> 1), 0], ring[c ^ (c >> 1), 1] = corners[t, c, 0] - y, corners[t, c, 1] - x
        across = (ring[2, 0] - ring[0, 0]) * (ring[3, 1] - ring[1, 1])
        volumes[t] = abs(across - (ring[3, 0] - ring[1, 0]) * (ring[2, 1] - ring[0, 1])) / 2
        y0, x0 = spans[0, 0, t], spans[1, 0, t]
        ny, nx = spans[0, 1, t] - y0, spans[1, 1, t] - x0
        for j in range(ny + 1):
            for i in range(nx + 1):
                quadrants[j, i] = _quadrant(ring, sy[y0 + j] - y, sx[x0 + i] - x)
        least, at = NOISE * volumes[t], pointers[t]
        for j in range(ny):
            for i in range(nx):
                area = (quadrants[j, i] - quadrants[j, i + 1]) - (quadrants[j + 1, i] - quadrants[j + 1, i + 1])
                values[at], columns[at] = (area if area > least else 0.0), (y0 + j) * (sx.size - 1) + x0 + i
                at += 1


@part
def _above(source: Array, n: int, axis: int, bound: Number, out: Array, f: int) -> int:
    """Clip face `f` to where one coordinate is at least a bound (Sutherland and Hodgman); return its size."""
    kept = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        here, there = source[f, i, axis] - bound, source[f, j, axis] - bound
        if here >= 0:
            for c in range(3):
                out[f, kept, c] = source[f, i, c]
            kept += 1
        if (here < 0) != (there < 0):
            share = here / (here - there)
            for c in range(3):
                out[f, kept, c] = source[f, i, c] + share * (source[f, j, c] - source[f, i, c])
            out[f, kept, axis] = bound
            kept += 1
    return kept


@part
def _pyramid(faces: Array, f: int, n: int, z: Number, y: Number, x: Number) -> Number:
    """Return six times the signed volume between face `f` and an apex."""
    total = 0.0
    az, ay, ax = faces[f, 0, 0] - z, faces[f, 0, 1] - y, faces[f, 0, 2] - x
    for i in range(1, n - 1):
        bz, by, bx = faces[f, i, 0] - z, faces[f, i, 1] - y, faces[f, i, 2] - x
        cz, cy, cx = faces[f, i + 1, 0] - z, faces[f, i + 1, 1] - y, faces[f, i + 1, 2] - x
        total += az * (by * cx - bx * cy) + ay * (bx * cz - bz * cx) + ax * (bz * cy - by * cz)
    return total


# Volume of a solid within the octants z >= e, y >= b, x >= a of all corners of a piece of a grid. As for
# areas, it is the sum of the pyramids from the corner of the octant to the clipped faces; caps need not be built,
# because they lie in planes through the apex (Gauss' theorem; Powell and Abel, J. Comput. Phys. 297, 340 (2015) clip
# the polyhedron itself). The faces are clipped by z once for each plane, by y once for each line, by x for each corner.
@part
def _octants(axes: Any, begin: Any, count: Any, middle: Any, ring: int, scratch: Any) -> None:
    faces, by_z, by_y, by_x, sizes, volumes = scratch
    for k in range(count[0] + 1):
        e = axes[0][begin[0] + k] - middle[0]
        for f in range(faces.shape[0]):
            sizes[0, f] = _above(faces, ring, 0, e, by_z, f)
        for j in range(count[1] + 1):
            b = axes[1][begin[1] + j] - middle[1]
            for f in range(faces.shape[0]):
                sizes[1, f] = _above(by_z, sizes[0, f], 1, b, by_y, f)
            for i in range(count[2] + 1):
                a, total = axes[2][begin[2] + i] - middle[2], 0.0
                for f in range(faces.shape[0]):
                    n = _above(by_y, sizes[1, f], 2, a, by_x, f)
                    if n > 2:
                        total += _pyramid(by_x, f, n, e, b, a)
                volumes[k, j, i] = abs(total) / 6


@part
def _place_faces(corners: Array, t: int, rings: Array, faces: Array, middle: Array) -> Number:
    """Write the middle of a cell and its faces about that; return its volume."""
    total = 0.0
    for w in range(3):
        middle[w] = 0.0
        for c in range(8):
            middle[w] += corners[t, c, w] / 8
    for f in range(rings.shape[0]):
        for c in range(rings.shape[1]):
            for w in range(3):
                faces[f, c, w] = corners[t, rings[f, c], w] - middle[w]
        total += _pyramid(faces, f, rings.shape[1], 0.0, 0.0, 0.0)
    return abs(total) / 6


@kernel
def fill_3d(axes: Any, corners: Array, rings: Array, spans: Array, rows: Any, volumes: Array, scratch: Any) -> None:
    """Write the volume of each source cell within each target cell, in the unit of the source.

    `axes` are the three edges, `rings` (f, v) the corners around each face, `rows` (pointers, values, columns),
    `scratch` (middle (3,), faces and three times the clipped ones (f, 12, 3), sizes (2, f), volumes of octants).
    """
    (pointers, values, columns), middle, parts = rows, scratch[0], scratch[1:]
    octants, ny, nx = scratch[6], axes[1].size - 1, axes[2].size - 1
    for t in range(corners.shape[0]):
        volumes[t] = _place_faces(corners, t, rings, parts[0], middle)
        if pointers[t] == pointers[t + 1]:
            continue
        begin = spans[0, 0, t], spans[1, 0, t], spans[2, 0, t]
        count = spans[0, 1, t] - begin[0], spans[1, 1, t] - begin[1], spans[2, 1, t] - begin[2]
        _octants(axes, begin, count, (middle[0], middle[1], middle[2]), rings.shape[1], parts)
        least, at = NOISE * volumes[t], pointers[t]
        for k in range(count[0]):
            for j in range(count[1]):
                for i in range(count[2]):
                    near = octants[k, j, i] - octants[k, j, i + 1] - octants[k, j + 1, i] + octants[k, j + 1, i + 1]
                    k1 = k + 1
                    far = octants[k1, j, i] - octants[k1, j, i + 1] - octants[k1, j + 1, i] + octants[k1, j + 1, i + 1]
                    values[at] = near - far if near - far > least else 0.0
                    columns[at] = ((begin[0] + k) * ny + begin[1] + j) * nx + begin[2] + i
                    at += 1


# Mean over a target cell of the multilinear interpolant of the source, by the midpoint rule on points evenly spaced in
# it. The weights of a sample add up to 1, and the samples lie symmetrically, so that constants and linear
# fields are exact; a row adds up to the share of its samples that lie in the source. One sample is plain interpolation
# at the middle of the cell; many come to the integral with the square of their distance.
@kernel
def fill_means(axes: Any, corners: Array, samples: Array, spans: Array, rows: Any, hats: Any) -> None:
    """Write the weight of each source cell in the mean over each target cell.

    `axes` is (centres, edges) of three source axes, `samples` (s, 2 ** d) the weights of the corners in each sample,
    `rows` (pointers, values, columns) with zeros for values, `hats` ((3,) cells, (3,) fractions).
    """
    (centres, edges), (pointers, values, columns), (cell, fraction) = axes, rows, hats
    ny, nx, weight = centres[1].size, centres[2].size, 1.0 / samples.shape[0]
    for t in range(corners.shape[0]):
        start = pointers[t]
        if start == pointers[t + 1]:
            continue
        z0, y0, x0 = spans[0, 0, t], spans[1, 0, t], spans[2, 0, t]
        wide = spans[2, 1, t] - x0
        deep = (spans[1, 1, t] - y0) * wide
        for p in range(pointers[t + 1] - start):
            columns[start + p] = ((z0 + p // deep) * ny + y0 + p % deep // wide) * nx + x0 + p % wide
        for s in range(samples.shape[0]):
            inside = True
            for a in range(3):
                at = 0.0
                for c in range(samples.shape[1]):
                    at += samples[s, c] * corners[t, c, a]
                inside &= _hat(centres[a], edges[a], at, a, cell, fraction)
            if not inside:
                continue
            for corner in range(8):
                dz, dy, dx = corner >> 2, corner >> 1 & 1, corner & 1
                share = fraction[0] if dz else 1 - fraction[0]
                share *= fraction[1] if dy else 1 - fraction[1]
                share *= fraction[2] if dx else 1 - fraction[2]
                if share > 0:
                    to = (cell[0] + dz - z0) * deep + (cell[1] + dy - y0) * wide + cell[2] + dx - x0
                    values[start + to] += weight * share


@part
def _hat(centres: Array, edges: Array, position: Number, a: int, cell: Array, fraction: Array) -> Any:
    """Write the pixel below a position and the fraction towards the next one; return whether a cell holds the position.

    Within the outer half of an outermost pixel the value is that of the pixel.
    """
    n = centres.size
    rim = RIM * (edges[n] - edges[0])
    cell[a], fraction[a] = 0, 0.0
    if n > 1:
        at = min(max(count_up_to(centres, position) - 1, 0), n - 2)
        f = min(max((position - centres[at]) / (centres[at + 1] - centres[at]), 0.0), 1.0)
        cell[a], fraction[a] = at, (0.0 if f < RIM else 1.0 if f > 1 - RIM else f)
    return edges[0] - rim <= position < edges[n] - rim
