"""Pixels spread over the cells of another grid, and gathered from them, by a table: bare arrays in, bare arrays out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion._kernels import kernel, part
from fusion.grids._vector_kernels import blend

Array = NDArray[Any]
Number = Any

NOISE = 1e-12
"""Share of a pixel that is the rounding noise of the differences that overlaps are computed from."""

LANES = 8
"""Shares that are interpolated at a time; a row of the table is a multiple of these."""
_VECTOR = (0.0,) * LANES


# The shares of a pixel in the cells around it depend on where its middle lies within a cell, and on nothing else. They
# are interpolated trilinearly between eight nodes of the table, all of one fraction; the weights of the nodes add up to
# 1, and so do the shares at each node, so that those of every pixel do, however coarse the table is.
@part
def _interpolate(table: Array, nodes: int, node: Array, fraction: Array, shares: Array) -> None:
    """Write the shares of a pixel in the cells of its box, LANES at a time."""
    n, plane = np.uint64(shares.size), np.uint64(shares.size * (nodes + 1))
    at = np.uint64((node[0] * (nodes + 1) + node[1]) * (nodes + 1) + node[2]) * n
    deep = plane * np.uint64(nodes + 1)
    z, y, x = fraction[0], fraction[1], fraction[2]
    a, b, c, d = (1 - z) * (1 - y), (1 - z) * y, z * (1 - y), z * y
    weights = a * (1 - x), a * x, b * (1 - x), b * x, c * (1 - x), c * x, d * (1 - x), d * x
    to = np.uint64(0)
    while to < n:
        p, q, r, s = at + to, at + to + plane, at + to + deep, at + to + deep + plane
        blend(shares, to, table, (p, p + n, q, q + n, r, r + n, s, s + n), weights, _VECTOR)
        to += np.uint64(LANES)


@part
def _locate(matrix: Array, index: Array, nodes: int, first: Array, node: Array, fraction: Array) -> None:
    """Write the cell that holds the middle of a pixel, the node of the table below it and the fraction beyond that."""
    for a in range(3):
        at = matrix[a, 0] * index[0] + matrix[a, 1] * index[1] + matrix[a, 2] * index[2] + matrix[a, 3]
        cell = np.floor(at)
        within = (at - cell) * nodes
        node[a] = min(int(within), nodes - 1)
        first[a], fraction[a] = int(cell), within - node[a]


# Both directions go through the pixels in their order, so that a sum has its terms in one order whatever part of the
# grid is written. `power` 2 squares the shares, as for variances.
@kernel
def spread(pixels: Array, cells: Array, seen: Array, boxes: Any, tabled: Any, power: int, back: bool) -> None:
    """Add the pixels to the cells by their shares, or (`back`) the cells to the pixels.

    `pixels` and `cells` are (z, y, x, k), `seen` (z, y, x) receives the sums of shares of what is written. `boxes` is
    the index of the first pixel and of the first cell within their grids; `tabled` is (flat table, its nodes along a
    cell, the least offset (3,) and the shape (3,) of the box of cells, matrix (3, 4) from indices of pixels to those of
    cells, scratch).
    """
    (from_pixel, from_cell), (table, nodes, low, box, matrix, scratch) = boxes, tabled
    index, first, node, fraction, shares = scratch
    for z in range(pixels.shape[0]):
        for y in range(pixels.shape[1]):
            for x in range(pixels.shape[2]):
                index[0], index[1], index[2] = from_pixel[0] + z, from_pixel[1] + y, from_pixel[2] + x
                _locate(matrix, index, nodes, first, node, fraction)
                beside = False
                for a in range(3):
                    first[a] += low[a] - from_cell[a]
                    beside |= first[a] + box[a] <= 0 or first[a] >= cells.shape[a]
                if beside:
                    continue
                _interpolate(table, nodes, node, fraction, shares)
                _add(pixels, cells, seen, (z, y, x), first, box, shares, power, back)


@part
def _add(
    pixels: Array,
    cells: Array,
    seen: Array,
    pixel: Any,
    first: Array,
    box: Array,
    shares: Array,
    power: int,
    back: bool,
) -> None:
    z, y, x = pixel
    for k in range(max(first[0], 0), min(first[0] + box[0], cells.shape[0])):
        for j in range(max(first[1], 0), min(first[1] + box[1], cells.shape[1])):
            row = ((k - first[0]) * box[1] + j - first[1]) * box[2] - first[2]
            for i in range(max(first[2], 0), min(first[2] + box[2], cells.shape[2])):
                share = shares[row + i]
                if share <= NOISE:
                    continue
                weight = share * share if power == 2 else share
                if back:
                    seen[z, y, x] += share
                    for c in range(pixels.shape[3]):
                        pixels[z, y, x, c] += weight * cells[k, j, i, c]
                else:
                    seen[k, j, i] += share
                    for c in range(pixels.shape[3]):
                        cells[k, j, i, c] += weight * pixels[z, y, x, c]
