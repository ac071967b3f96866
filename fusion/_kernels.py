"""Affine resampling of channels-last volumes: bare arrays in, bare arrays out.

A point (z, y, x) of the output grid is mapped by a (3, 4) matrix onto the axes of the source. For a uniform
source axis the caller folds offset and step into the matrix, so that the result is a continuous pixel index; for
an uneven axis the matrix yields the coordinate itself and the kernel looks the index up.

Along x every mapped index is monotone, so the part of an output row that lies in the source is one run. Its two
ends are searched with the very test that defines "inside"; the loops over the run need no branches.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[Any]
Grid = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Axes = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, NDArray[np.float64] | None]

TOLERANCE = 1e-6
"""Pixels by which a point may miss the hull, or an exact pixel, through rounding alone."""

_LANES = 16
_SLAB_VALUES = 1 << 20
_ROWS = 16


def linear(
    source: Array,
    matrix: NDArray[np.float64],
    grid: Grid,
    out: Array,
    inside: Array,
    *,
    axes: Axes = (None, None, None),
    half: Sequence[float] = (0.5, 0.5, 0.5),
    squared: bool = False,
    threads: int | None = None,
) -> None:
    """Interpolate all channels of a volume trilinearly through an affine.

    Parameters
    ----------
    source : (nz, ny, nx, k) array
        C-contiguous float32 or float64; may be read-only.
    matrix : (3, 4) array
        Maps an output point (z, y, x, 1) to source indices, or to coordinates on those axes that `axes` gives.
    grid : three vectors
        Coordinates z, y, x of the output grid. They need not be uniform, but x must be monotone.
    out : (mz, my, mx, k) array
        Receives the values, NaN outside. C-contiguous, of the dtype of `source`.
    inside : (mz, my, mx) array
        Receives 1 where the point lies in the hull of the pixel centres, else 0. C-contiguous, bool or uint8.
    axes : three vectors or None
        Ascending pixel centres of each uneven source axis, None for a uniform one.
    half : three floats
        Half-thickness of source axes of length 1: such an axis does not interpolate, and a point is inside if it is
        at most this far from the pixel, in units of the mapped axis. May be infinite.
    squared : bool
        Square the weights, as for the variance of independent errors.
    threads : int, optional
        Number of threads; all cores if left out.
    """
    if source.dtype not in (np.float32, np.float64):
        raise TypeError(f"linear interpolation needs float32 or float64, not {source.dtype}")
    _check(source, matrix, grid, out, inside)
    if source.shape[2] == 1:
        # The kernel reads x-neighbours unconditionally; the copy always has weight zero.
        source, narrow = np.repeat(source, 2, axis=2), True
    else:
        narrow = False
    sizes = (source.shape[0], source.shape[1], 1 if narrow else source.shape[2])
    low = np.array([-h if n == 1 else -TOLERANCE for n, h in zip(sizes, half, strict=True)])
    high = np.array([h if n == 1 else n - 1 + TOLERANCE for n, h in zip(sizes, half, strict=True)])
    lanes = (source.dtype.type(0),) * min(source.shape[3], _LANES)
    flat, shape, mask = _frozen(source.reshape(-1)), np.array(source.shape), inside.view(np.uint8)
    fixed = (flat, shape, _frozen(matrix), low, high, *map(_frozen, grid), *map(_frozen, axes))

    def work(z0: int, z1: int, y0: int, y1: int) -> None:
        _linear_slab(*fixed, out, mask, (z0, z1, y0, y1), squared, lanes)

    in_slabs(work, out.shape, threads)


def nearest(
    source: Array,
    matrix: NDArray[np.float64],
    grid: Grid,
    out: Array,
    inside: Array,
    *,
    axes: Axes = (None, None, None),
    half: Sequence[float] = (0.5, 0.5, 0.5),
    fill: Any = 0,
    threads: int | None = None,
) -> None:
    """Take the nearest pixel of a volume of any dtype, such as labels, through an affine.

    The arguments are those of `linear`, except that `fill` is written outside, and that a point is inside if it
    lies in the footprint of the pixels, -0.5 <= index < n - 0.5. A point halfway between two pixels takes the later.
    """
    _check(source, matrix, grid, out, inside)
    sizes = source.shape[:3]
    low = np.array([-h if n == 1 else -0.5 for n, h in zip(sizes, half, strict=True)])
    high = np.array([h if n == 1 else np.nextafter(n - 0.5, 0) for n, h in zip(sizes, half, strict=True)])
    bits = np.dtype(f"u{source.dtype.itemsize}")
    background = np.full(1, fill, source.dtype).view(bits)[0]
    flat, shape, mask = _frozen(source.reshape(-1).view(bits)), np.array(source.shape), inside.view(np.uint8)
    fixed = (flat, shape, _frozen(matrix), low, high, *map(_frozen, grid), *map(_frozen, axes))

    def work(z0: int, z1: int, y0: int, y1: int) -> None:
        _nearest_slab(*fixed, out.view(bits), mask, (z0, z1, y0, y1), background)

    in_slabs(work, out.shape, threads)


def in_slabs(
    work: Callable[[int, int, int, int], None], shape: Sequence[int], threads: int | None = None
) -> None:
    """Call ``work(z0, z1, y0, y1)`` on slabs that cover a grid, in threads.

    A slab is a run of planes or, where a plane is large or the only one, a run of rows of one plane. The slabs are
    small, so that an interrupt need only wait for those under way.

    Parameters
    ----------
    work : callable
        Must release the GIL to gain from threads.
    shape : sequence of int
        The grid's shape; the axes behind the first two only count for the size of a slab.
    threads : int, optional
        Number of threads; all cores if left out.
    """
    threads = threads or os.cpu_count() or 1
    slabs = _slabs(shape, threads)
    if threads == 1 or len(slabs) == 1:
        for slab in slabs:
            work(*slab)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        for future in [pool.submit(work, *slab) for slab in slabs]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _slabs(shape: Sequence[int], threads: int) -> list[tuple[int, int, int, int]]:
    planes, rows = shape[0], shape[1]
    row = max(1, int(np.prod(shape[2:])))
    limit = max(1, min(_SLAB_VALUES, planes * rows * row // (4 * threads)) // row)
    deep = max(1, limit // max(1, rows))
    wide = max(1, rows if limit >= rows else limit)
    return [
        (z, min(z + deep, planes), y, min(y + wide, rows))
        for z in range(0, planes, deep)
        for y in range(0, rows, wide)
    ]


def _check(source: Array, matrix: Array, grid: Grid, out: Array, inside: Array) -> None:
    shape = tuple(axis.size for axis in grid)
    if matrix.shape != (3, 4):
        raise ValueError(f"the matrix must have shape (3, 4), not {matrix.shape}")
    if source.ndim != 4 or 0 in source.shape or not source.flags.c_contiguous:
        raise ValueError("the source must be a C-contiguous, non-empty array (z, y, x, channel)")
    if out.shape != (*shape, source.shape[3]) or out.dtype != source.dtype or not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous, on the grid, with the source's channels and dtype")
    if inside.shape != shape or inside.dtype.itemsize != 1 or not inside.flags.c_contiguous:
        raise ValueError("inside must be a C-contiguous bool or uint8 array on the grid")
    steps = np.diff(grid[2])
    if not ((steps >= 0).all() or (steps <= 0).all()):
        raise ValueError("the x coordinates of the grid must be monotone")


def _frozen(array: Array | None) -> Array | None:
    """Return a read-only view, so that numba compiles one variant for writable and read-only input."""
    if array is None:
        return None
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@njit(cache=True, nogil=True)
def _index(position: float, axis: Array | None) -> float:
    """Return the continuous index of a position; beyond the ends the outermost cell goes on."""
    if axis is None:
        return position
    if axis.size == 1:
        return position - axis[0]
    cell = min(max(np.searchsorted(axis, position, side="right") - 1, 0), axis.size - 2)
    return cell + (position - axis[cell]) / (axis[cell + 1] - axis[cell])


@njit(cache=True, nogil=True)
def _first(base: float, slope: float, x: Array, axis: Array | None, bound: float, sign: int, strict: bool) -> int:
    """Return the first i whose index, times `sign`, is at or (`strict`) beyond the bound."""
    start, stop = 0, x.size
    while start < stop:
        middle = (start + stop) // 2
        index = sign * _index(base + slope * x[middle], axis)
        if index > bound or (not strict and index == bound):
            stop = middle
        else:
            start = middle + 1
    return start


@njit(cache=True, nogil=True)
def _clip(
    run: tuple[int, int], base: float, slope: float, x: Array, axis: Array | None, low: float, high: float
) -> tuple[int, int]:
    """Narrow a run along x to where one source axis is inside its bounds."""
    first, last = _index(base + slope * x[0], axis), _index(base + slope * x[-1], axis)
    if low <= first <= high and low <= last <= high:
        return run
    if last >= first:
        start, stop = _first(base, slope, x, axis, low, 1, False), _first(base, slope, x, axis, high, 1, True)
    else:
        start, stop = _first(base, slope, x, axis, -high, -1, False), _first(base, slope, x, axis, -low, -1, True)
    return max(run[0], start), min(run[1], stop)
