"""Resampling through a warp: bare arrays in, bare arrays out.

The warp is known at the nodes of a coarse mesh over the output grid, as source coordinates, and is trilinear
between them. Along x it is then linear from node to node: a row is a few pieces, and each piece is resampled as a row
of an affine is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion._kernels import kernel, part
from fusion.grids._axis_kernels import count_up_to
from fusion.grids._slab_kernels import in_slabs
from fusion.resampling._kernels import (
    _AHEAD,
    _LANES,
    TOLERANCE,
    Array,
    Axes,
    Grid,
    _flat,
    _frozen,
    _linear_row,
    _nearest_row,
    _sizes,
    bounds,
)

Number = Any
Mesh = tuple[Grid, NDArray[np.float64]]


def linear(
    source: Array,
    mesh: Mesh,
    grid: Grid,
    out: Array,
    inside: Array,
    *,
    axes: Axes = (None, None, None),
    half: Sequence[float] = (0.5, 0.5, 0.5),
    squared: bool = False,
    rim: float = 0.0,
    threads: int | None = None,
) -> None:
    """Interpolate all channels of a volume trilinearly through a warp.

    Parameters
    ----------
    source, grid, out, inside, axes, half, squared, rim, threads
        As in `fusion.resampling._kernels.linear`; x must ascend.
    mesh : three vectors, and an array (a, b, c, 3)
        Ascending coordinates z, y, x of the nodes, which reach over the grid, and where each lies in the source: index,
        or coordinate on the axes that `axes` gives. NaN where it lies nowhere.
    """
    # as in the affine kernel: neighbours end at the outermost centres, or `rim` pixels beyond
    ends = [(-rim - TOLERANCE, n - 1 + rim + TOLERANCE) if n > 1 else (-h, h) for n, h in _sizes(source, half)]
    volume, points, results = _flat(source, grid, out, inside)
    knots, positions = _read(mesh)
    pieces = _pieces(knots[2], grid[2])
    mapping = None, _frozen(bounds(ends)), tuple(map(_frozen, axes))
    lanes = (source.dtype.type(0),) * min(source.shape[3], _LANES)

    def work(*slab: int) -> None:
        _linear_slab(volume, mapping, (knots, positions, pieces), points, results, slab, squared, lanes)

    in_slabs(work, out.shape, threads)


def nearest(
    source: Array,
    mesh: Mesh,
    grid: Grid,
    out: Array,
    inside: Array,
    *,
    axes: Axes = (None, None, None),
    half: Sequence[float] = (0.5, 0.5, 0.5),
    fill: Any = 0,
    threads: int | None = None,
) -> None:
    """Take the nearest pixel of a volume of any dtype through a warp; `fill` is written outside."""
    ends = [(-0.5, np.nextafter(n - 0.5, 0)) if n > 1 else (-h, h) for n, h in _sizes(source, half)]
    # only bits are copied: few widths to compile for instead of many dtypes
    bits = np.dtype(f"u{min(source.dtype.itemsize, 8)}")
    background = np.full(source.shape[3], fill, source.dtype).view(bits)
    volume, points, results = _flat(source.view(bits), grid, out.view(bits), inside)
    knots, positions = _read(mesh)
    pieces = _pieces(knots[2], grid[2])
    mapping = None, _frozen(bounds(ends)), tuple(map(_frozen, axes))

    def work(*slab: int) -> None:
        _nearest_slab(volume, mapping, (knots, positions, pieces), points, results, slab, background)

    in_slabs(work, out.shape, threads)


def _read(mesh: Mesh) -> tuple[Any, Any]:
    knots, positions = mesh
    if positions.shape != (*(axis.size for axis in knots), 3):
        raise ValueError(f"a mesh of {[axis.size for axis in knots]} nodes needs their positions; "
                         f"received shape {positions.shape}")  # fmt: skip
    return tuple(map(_frozen, knots)), _frozen(positions)


def _pieces(knots: NDArray[np.float64], x: NDArray[np.float64]) -> Any:
    """Return where the points between two nodes begin, and the end of the last."""
    # a point on a node belongs to the piece behind it
    return _frozen(np.concatenate([[0], np.searchsorted(x, knots[1:-1]), [x.size]]).astype(np.int64))


@part
def _cell(knots: Array, at: Number) -> Number:
    """Return the node below a coordinate, the one above, and the fraction of the way between."""
    # beyond the outermost nodes the last cell goes on; a grid of one plane has one node, and no cell
    if knots.size == 1:
        return 0, 0, 0.0
    cell: Number = min(max(count_up_to(knots, at) - 1, 0), knots.size - 2)
    return cell, cell + 1, (at - knots[cell]) / (knots[cell + 1] - knots[cell])


# Trilinear between nodes: the position at z, y on the line between two nodes along x is bilinear in z and y at either
# node, and linear along x. Its error is that of the second derivative, h² |w''| / 8 pixels for nodes h apart, which
# `fusion.grids.mesh` measures when it halves the mesh.
@part
def _node(positions: Array, along_z: Number, along_y: Number, node: Number, a: int) -> Number:
    """Return source coordinate `a` at a node along x, on the row between nodes along z and y."""
    (z0, z1, fz), (y0, y1, fy) = along_z, along_y
    low = positions[z0, y0, node, a] * (1.0 - fy) + positions[z0, y1, node, a] * fy
    high = positions[z1, y0, node, a] * (1.0 - fy) + positions[z1, y1, node, a] * fy
    return low * (1.0 - fz) + high * fz


@part
def _line(positions: Array, knots: Array, along_z: Number, along_y: Number, piece: int, a: int) -> Number:
    """Return offset and slope along x of a source coordinate between two nodes."""
    start = _node(positions, along_z, along_y, piece, a)
    if knots.size == 1:
        return start, 0.0
    # a line through the origin of x, so that every piece of a row is what a row of an affine is
    slope = (_node(positions, along_z, along_y, piece + 1, a) - start) / (knots[piece + 1] - knots[piece])
    return start - slope * knots[piece], slope


@kernel
def _linear_slab(
    volume: Number, mapping: Number, mesh: Number, grid: Number, results: Number, slab: Number, squared: bool,
    lanes: Number,
) -> None:  # fmt: skip
    (source, (nz, ny, nx, k)), (z, y, x), (knots, positions, pieces) = volume, grid, mesh
    sz, sy, sx = np.uint64(ny * nx * k * (nz > 1)), np.uint64(nx * k * (ny > 1)), np.uint64(k * (nx > 1))
    offsets, f = np.zeros(x.size + _AHEAD, np.uint64), np.empty((3, x.size), source.dtype)
    plan = offsets, f, (sz, sy, sx, np.uint64(k)), squared
    for j in range(slab[0], slab[1]):
        along_z = _cell(knots[0], z[j])
        for i in range(slab[2], slab[3]):
            along_y = _cell(knots[1], y[i])
            for c in range(pieces.size - 1):
                start, stop = pieces[c], pieces[c + 1]
                # a piece of NaN, where the warp has no inverse, is outside: no comparison with it holds
                if start < stop:
                    lines = (
                        _line(positions, knots[2], along_z, along_y, c, 0),
                        _line(positions, knots[2], along_z, along_y, c, 1),
                        _line(positions, knots[2], along_z, along_y, c, 2),
                    )
                    row = np.uint64((j * y.size + i) * x.size + start)
                    _linear_row(volume, mapping, lines, x[start:stop], results, row, plan, lanes)


@kernel
def _nearest_slab(
    volume: Number, mapping: Number, mesh: Number, grid: Number, results: Number, slab: Number, fill: Array
) -> None:
    (z, y, x), (knots, positions, pieces) = grid, mesh
    for j in range(slab[0], slab[1]):
        along_z = _cell(knots[0], z[j])
        for i in range(slab[2], slab[3]):
            along_y = _cell(knots[1], y[i])
            for c in range(pieces.size - 1):
                start, stop = pieces[c], pieces[c + 1]
                if start < stop:
                    lines = (
                        _line(positions, knots[2], along_z, along_y, c, 0),
                        _line(positions, knots[2], along_z, along_y, c, 1),
                        _line(positions, knots[2], along_z, along_y, c, 2),
                    )
                    row = np.uint64((j * y.size + i) * x.size + start)
                    _nearest_row(volume, mapping, lines, x[start:stop], results, row, fill)
