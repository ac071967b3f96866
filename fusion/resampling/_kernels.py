"""Affine resampling of channels-last volumes: bare arrays in, bare arrays out.

A point (z, y, x) of the output grid is mapped by a (3, 4) matrix onto the axes of the source. For a uniform
source axis the caller folds offset and step into the matrix, so that the result is a continuous pixel index;
for an uneven axis the matrix yields the coordinate itself and the kernel looks the index up.

Along x every mapped index is monotone, so the part of an output row that lies in the source is one run. Its
ends are searched with the very test that defines "inside"; the loops over the run then need no branches.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion._kernels import kernel, part
from fusion.grids._axis_kernels import count_up_to
from fusion.grids._slab_kernels import in_slabs
from fusion.grids._vector_kernels import blend, prefetch

Array = NDArray[Any]
Grid = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Axes = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, NDArray[np.float64] | None]
Number = Any

TOLERANCE = 1e-6
"""Pixels by which a point may miss the hull, or an exact pixel, through rounding alone."""

_AHEAD = 32
_LANES = 16


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
    rim: float = 0.0,
    threads: int | None = None,
) -> None:
    """Interpolate all channels of a volume trilinearly through an affine.

    Parameters
    ----------
    source : (nz, ny, nx, k) array
        C-contiguous float32 or float64; may be read-only.
    matrix : (3, 4) array
        Maps an output point (z, y, x, 1) to source indices, on the axes that `axes` gives to coordinates.
    grid : three vectors
        Coordinates z, y, x of the output grid. They need not be uniform, but x must be monotone.
    out : (mz, my, mx, k) array
        Receives the values, NaN outside. C-contiguous, of the dtype of `source`.
    inside : (mz, my, mx) array
        Receives 1 where the point lies in the hull of the pixel centres, else 0. C-contiguous, bool or uint8.
    axes : three vectors or None
        Ascending pixel centres of each uneven source axis, None for a uniform one.
    half : three floats
        Half-thickness of source axes of length 1, which do not interpolate: a point is inside if it is at
        most this far from the pixel, in units of the mapped axis. May be infinite.
    squared : bool
        Square the weights, as for the variance of independent errors.
    rim : float
        Pixels by which the source goes on beyond its outermost centres, with their values.
    threads : int, optional
        Number of threads; all cores if left out.
    """
    if source.dtype not in (np.float32, np.float64):
        raise TypeError(f"linear interpolation needs float32 or float64, not {source.dtype}")
    _check(source, matrix, grid, out, inside, axes)
    # Interpolation needs a neighbour on either side, so it ends at the outermost centres, or `rim` pixels beyond.
    ends = [(-rim - TOLERANCE, n - 1 + rim + TOLERANCE) if n > 1 else (-h, h) for n, h in _sizes(source, half)]
    volume, points, results = _flat(source, grid, out, inside)
    mapping = _frozen(matrix), _frozen(bounds(ends)), tuple(map(_frozen, axes))
    lanes = (source.dtype.type(0),) * min(source.shape[3], _LANES)

    def work(*slab: int) -> None:
        _linear_slab(volume, mapping, points, results, slab, squared, lanes)

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

    The arguments are those of `linear`, except that `fill` is written outside, and that a point is inside if
    it lies in the footprint of the pixels, -0.5 <= index < n - 0.5. Halfway between two pixels the later one
    is taken.
    """
    _check(source, matrix, grid, out, inside, axes)
    ends = [(-0.5, np.nextafter(n - 0.5, 0)) if n > 1 else (-h, h) for n, h in _sizes(source, half)]
    # Only bits are copied: few widths to compile for instead of many dtypes.
    bits = np.dtype(f"u{min(source.dtype.itemsize, 8)}")
    background = np.full(source.shape[3], fill, source.dtype).view(bits)
    volume, points, results = _flat(source.view(bits), grid, out.view(bits), inside)
    mapping = _frozen(matrix), _frozen(bounds(ends)), tuple(map(_frozen, axes))

    def work(*slab: int) -> None:
        _nearest_slab(volume, mapping, points, results, slab, background)

    in_slabs(work, out.shape, threads)


def _check(source: Array, matrix: Array, grid: Grid, out: Array, inside: Array, axes: Axes) -> None:
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
    for axis, n in zip(axes, source.shape[:3], strict=True):
        if axis is not None and (axis.shape != (n,) or not (np.diff(axis) > 0).all()):
            raise ValueError("axes must be None or ascending, with one coordinate per pixel of the source")


def _sizes(source: Array, half: Sequence[float]) -> list[tuple[int, float]]:
    """Pair length and half-thickness of the source axes."""
    return list(zip(source.shape[:3], map(float, half), strict=True))


def _flat(source: Array, grid: Grid, out: Array, inside: Array) -> tuple[Any, Any, Any]:
    """Return the arrays as the kernels take them."""
    volume = _frozen(source.reshape(-1)), source.shape
    return volume, tuple(map(_frozen, grid)), (out.reshape(-1), inside.reshape(-1).view(np.uint8))


def bounds(ends: Sequence[tuple[float, float]]) -> Array:
    """Return low and high of each source axis, and the numbers next to them outside."""
    low, high = np.array(ends).T
    return np.stack([low, high, np.nextafter(low, -np.inf), np.nextafter(high, np.inf)], axis=1)


def _frozen(array: Array | None) -> Array | None:
    """Return a read-only view, so that numba compiles one variant for writable and read-only input."""
    if array is None:
        return None
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@part
def _index(position: Number, axis: Array | None) -> Number:
    """Return the continuous index of a position; beyond the ends the outermost cell goes on."""
    if axis is None:
        return position
    if axis.size == 1:
        return position - axis[0]
    cell: Number = min(max(count_up_to(axis, position) - 1, 0), axis.size - 2)
    return cell + (position - axis[cell]) / (axis[cell + 1] - axis[cell])


@part
def _first(line: Number, x: Array, axis: Array | None, bound: Number, sign: Number) -> int:
    """Return the first i whose index, times `sign`, is at the bound or beyond."""
    start, stop = 0, x.size
    while start < stop:
        middle = (start + stop) // 2
        if sign * _index(line[0] + line[1] * x[middle], axis) >= bound:
            stop = middle
        else:
            start = middle + 1
    return start


# A mapped index is linear in x (or monotone, on an uneven axis), so "inside" holds on one run of each row. Its ends are
# found by bisection on the index itself and not by dividing by the slope: the test that decides is then, to the last
# bit, the one that defines "inside", also where the slope is 1e-17 because an angle of 90 degrees was rounded.
@part
def _clip(run: Number, line: Number, x: Array, axis: Array | None, ends: Array) -> Number:
    """Narrow a run along x to where one source axis is within its bounds, the first two of `ends`."""
    left, right = _index(line[0] + line[1] * x[0], axis), _index(line[0] + line[1] * x[x.size - 1], axis)
    if ends[0] <= left <= ends[1] and ends[0] <= right <= ends[1]:
        return run
    rising = right >= left
    sign = 1.0 if rising else -1.0
    enter, leave = (ends[0], ends[3]) if rising else (-ends[1], -ends[2])
    start = max(run[0], _first(line, x, axis, enter, sign))
    return start, max(start, min(run[1], _first(line, x, axis, leave, sign)))


@part
def _lines(matrix: Array, z: Number, y: Number) -> Number:
    """Return offset and slope, along x, of the three mapped coordinates of an output row."""
    a = matrix[0, 0] * z + matrix[0, 1] * y + matrix[0, 3]
    b = matrix[1, 0] * z + matrix[1, 1] * y + matrix[1, 3]
    c = matrix[2, 0] * z + matrix[2, 1] * y + matrix[2, 3]
    return (a, matrix[0, 2]), (b, matrix[1, 2]), (c, matrix[2, 2])


@part
def _fill(array: Array, start: Number, stop: Number, value: Number) -> None:
    for i in range(np.uint64(start), np.uint64(stop)):
        array[i] = value


@part
def _enter(mapping: Number, lines: Number, x: Array, inside: Array, row: Number) -> tuple[Number, Number]:
    """Return the run of x that is inside, and write the mask of the row."""
    _, ends, axes = mapping
    run = _clip((np.int64(0), x.size), lines[0], x, axes[0], ends[0])
    run = _clip(run, lines[1], x, axes[1], ends[1])
    start, stop = _clip(run, lines[2], x, axes[2], ends[2])
    _fill(inside, row, row + x.size, np.uint8(0))
    _fill(inside, row + start, row + stop, np.uint8(1))
    return np.uint64(start), np.uint64(stop)


# Index = cell + fraction along one axis. Clamping to [0, n - 1] makes a point that rounding put outside read the
# outermost pixel; the last cell starts at n - 2, so that the upper neighbour exists.
@part
def _split(
    line: Number, x: Array, run: Number, axis: Array | None, n: Number, step: Number, offsets: Array, f: Array
) -> None:
    """Add the cells of one source axis to the flat offsets of a run, and set the fractions within the cells."""
    top, last = n - 1.0, max(n - 2.0, 0.0)
    for p in range(run[0], run[1]):
        index = min(max(_index(line[0] + line[1] * x[p], axis), 0.0), top)
        cell = min(np.floor(index), last)
        offsets[p] += np.uint64(np.int64(cell)) * step
        f[p] = index - cell


# The value at fractions (z, y, x) between eight pixels is the sum of their values, each times the volume of the
# opposite box: products of three one-dimensional hat functions. Errors of different pixels are taken
# as independent, so that the variance of the value is the same sum with the weights squared; this, and the square root
# that `resample` takes, is how a standard error is propagated by interpolation.
@part
def _weights(z: Number, y: Number, x: Number, squared: bool) -> Number:
    one = type(z)(1)
    uz, uy, ux = one - z, one - y, one - x
    if squared:
        uz, uy, ux, z, y, x = uz * uz, uy * uy, ux * ux, z * z, y * y, x * x
    a, b, c, d = uz * uy, uz * y, z * uy, z * y
    return a * ux, a * x, b * ux, b * x, c * ux, c * x, d * ux, d * x


@part
def _corners(at: Number, steps: Number) -> Number:
    z, y, x, _ = steps
    a, b, c = at + y, at + z, at + y + z
    return at, at + x, a, a + x, b, b + x, c, c + x


@part
def _interpolate(source: Array, plan: Number, out: Array, row: Number, run: Number, lanes: Number) -> None:
    """Write a run of a row: full vectors of channels, then the channels left over one by one."""
    offsets, f, steps, squared = plan
    k, n = steps[3], np.uint64(len(lanes))
    for p in range(run[0], run[1]):
        weights = _weights(f[0, p], f[1, p], f[2, p], squared)
        # Only the far corner of a coming point is new; the rows before have fetched the others.
        prefetch(source, offsets[p + np.uint64(_AHEAD)] + steps[0] + steps[1])
        to, c = (row + p) * k, np.uint64(0)
        while c + n <= k:
            blend(out, to + c, source, _corners(offsets[p] + c, steps), weights, lanes)
            c += n
        while c < k:
            blend(out, to + c, source, _corners(offsets[p] + c, steps), weights, lanes[:1])
            c += np.uint64(1)


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _sum(values: Array, start: Number, stop: Number) -> Number:
    total = values.dtype.type(0)
    for i in range(start, stop):
        total += values[i]
    return total


# 0 · NaN is NaN: a bad pixel would spoil neighbours in which it has no weight. Testing each corner costs a third of
# the speed, so the fast sum runs first and only values that came out not finite are computed again, leaving out the
# corners without weight.
@part
def _mend(source: Array, plan: Number, out: Array, row: Number, run: Number) -> None:
    """Repeat with care the values that became NaN or infinite, some of them through a corner of no weight."""
    offsets, f, steps, squared = plan
    k = steps[3]
    if np.isfinite(_sum(out, (row + run[0]) * k, (row + run[1]) * k)):
        return
    for p in range(run[0], run[1]):
        for c in range(k):
            if not np.isfinite(out[(row + p) * k + c]):
                fractions = (float(f[0, p]), float(f[1, p]), float(f[2, p]))
                out[(row + p) * k + c] = _careful(source, offsets[p] + c, steps, fractions, squared)


@part
def _careful(source: Array, at: Number, steps: Number, fractions: Number, squared: bool) -> Number:
    """Interpolate one channel without touching the corners that have no weight."""
    total = source.dtype.type(0)
    for corner in range(8):
        weight, corner_at = 1.0, at
        for a in range(3):
            if corner >> a & 1:
                weight *= 0.0 if fractions[a] < TOLERANCE else fractions[a]
                corner_at += steps[a]
            else:
                weight *= 0.0 if fractions[a] > 1 - TOLERANCE else 1 - fractions[a]
        if weight > 0:
            total += (weight * weight if squared else weight) * source[corner_at]
    return total


@kernel
def _linear_slab(
    volume: Number, mapping: Number, grid: Number, results: Number, slab: Number, squared: bool, lanes: Number
) -> None:
    (source, (nz, ny, nx, k)), (matrix, _, _), (z, y, x) = volume, mapping, grid
    # An axis of length 1 has no neighbour to read, not even with weight zero: it steps by zero.
    sz, sy, sx = np.uint64(ny * nx * k * (nz > 1)), np.uint64(nx * k * (ny > 1)), np.uint64(k * (nx > 1))
    offsets, f, width = np.zeros(x.size + _AHEAD, np.uint64), np.empty((3, x.size), source.dtype), np.uint64(k)
    plan = offsets, f, (sz, sy, sx, width), squared
    for j in range(slab[0], slab[1]):
        for i in range(slab[2], slab[3]):
            row = np.uint64((j * y.size + i) * x.size)
            lines = _lines(matrix, z[j], y[i])
            _linear_row(volume, mapping, lines, x, results, row, plan, lanes)


@part
def _linear_row(
    volume: Number, mapping: Number, lines: Number, x: Array, results: Number, row: Number, plan: Number, lanes: Number
) -> None:
    """Interpolate points of one row, whose source coordinates lie on lines."""
    (source, (nz, ny, nx, _)), (_, _, axes), (out, inside) = volume, mapping, results
    # offsets are flat positions of the lower corners, f the fractions of a cell beyond them
    offsets, f, (sz, sy, sx, width), _ = plan
    run = _enter(mapping, lines, x, inside, row)
    _fill(out, row * width, (row + run[0]) * width, np.nan)
    _fill(out, (row + run[1]) * width, (row + np.uint64(x.size)) * width, np.nan)
    _fill(offsets, run[0], run[1], 0)
    _split(lines[0], x, run, axes[0], nz, sz, offsets, f[0])
    _split(lines[1], x, run, axes[1], ny, sy, offsets, f[1])
    _split(lines[2], x, run, axes[2], nx, sx, offsets, f[2])
    _interpolate(source, plan, out, row, run, lanes)
    _mend(source, plan, out, row, run)


@part
def _round(line: Number, x: Number, axis: Array | None, n: Number) -> Number:
    return np.uint64(np.int64(min(max(np.floor(_index(line[0] + line[1] * x, axis) + 0.5), 0.0), n - 1.0)))


@kernel
def _nearest_slab(volume: Number, mapping: Number, grid: Number, results: Number, slab: Number, fill: Array) -> None:
    (matrix, _, _), (z, y, x) = mapping, grid
    for j in range(slab[0], slab[1]):
        for i in range(slab[2], slab[3]):
            row = np.uint64((j * y.size + i) * x.size)
            lines = _lines(matrix, z[j], y[i])
            _nearest_row(volume, mapping, lines, x, results, row, fill)


@part
def _nearest_row(
    volume: Number, mapping: Number, lines: Number, x: Array, results: Number, row: Number, fill: Array
) -> None:
    """Take the nearest pixels of one row, whose source coordinates lie on lines."""
    (source, (nz, ny, nx, k)), (_, _, axes), (out, inside) = volume, mapping, results
    run = _enter(mapping, lines, x, inside, row)
    for p in range(np.uint64(x.size)):
        to, within = (row + p) * np.uint64(k), run[0] <= p < run[1]
        at = np.uint64(0)
        if within:
            at = _round(lines[0], x[p], axes[0], nz) * np.uint64(ny)
            at = (at + _round(lines[1], x[p], axes[1], ny)) * np.uint64(nx)
            at = (at + _round(lines[2], x[p], axes[2], nx)) * np.uint64(k)
        for c in range(np.uint64(k)):
            out[to + c] = source[at + c] if within else fill[c]
