"""Sparse rows along each axis of a volume, applied one after the other: bare arrays in, bare arrays out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion._kernels import kernel, part

Array = NDArray[Any]
Number = Any


@part
def _sum_rows(source: Array, rows: Any, i: int, width: int, power: int, begin: Number, end: int, out: Array) -> None:
    """Write from `begin` to `end` the weighted sum of the rows of `width` numbers that row `i` of a matrix names."""
    pointers, columns, weights = rows
    for p in range(begin, end):
        out[p] = 0.0
    for t in range(pointers[i], pointers[i + 1]):
        weight, at = weights[t] ** power, columns[t] * width
        for p in range(begin, end):
            out[p] += weight * source[at + p]


# A voxel between aligned grids is a sum over z of sums over y of sums over x, each over the two or three pixels that it
# meets along one axis: seven products instead of the eight or twenty-seven of all pixels that it meets, and the inner
# loops run over neighbours in memory. A plane and a row that stay in the cache are all the scratch there is.
@kernel
def apply(source: Array, shape: Any, axes: Any, out: Array, slab: Any, power: int, scratch: Any) -> None:
    """Write voxels of planes slab[0] to slab[1] and rows slab[2] to slab[3].

    `source` and `out` are flat, `shape` is (sy, sx, channels) of the source and (my, mx) of the grid, `axes` are the
    rows (pointers, columns, weights) along z, y and x, `scratch` is (a plane, a row) of the source.
    """
    (sy, sx, k, my, mx), (rows_z, rows_y, rows_x), (plane, line) = shape, axes, scratch
    pointers, columns, weights = rows_x
    first, last = sy, 0
    for t in range(rows_y[0][slab[2]], rows_y[0][slab[3]]):
        first, last = min(first, rows_y[1][t]), max(last, rows_y[1][t] + 1)
    for z in range(slab[0], slab[1]):
        _sum_rows(source, rows_z, z, sy * sx * k, power, first * sx * k, last * sx * k, plane)
        for y in range(slab[2], slab[3]):
            _sum_rows(plane, rows_y, y, sx * k, power, np.int64(0), sx * k, line)
            row = (z * my + y) * mx * k
            for x in range(mx):
                for c in range(k):
                    total = 0.0
                    for t in range(pointers[x], pointers[x + 1]):
                        total += weights[t] ** power * line[columns[t] * k + c]
                    out[row + x * k + c] = total
