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
    flat, shape = _frozen(source.reshape(-1)), np.array(source.shape)
    flat_out, mask = out.reshape(-1), inside.reshape(-1).view(np.uint8)
    fixed = (flat, shape, _frozen(matrix), low, high, *map(_frozen, grid), *map(_frozen, axes))

    def work(z0: int, z1: int, y0: int, y1: int) -> None:
        _linear_slab(*fixed, flat_out, mask, (z0, z1, y0, y1), squared, lanes)

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
    # Only bits are copied: few widths instead of many dtypes to compile for.
    bits = np.dtype(f"u{min(source.dtype.itemsize, 8)}")
    background, words = np.full(source.shape[3], fill, source.dtype).view(bits), source.view(bits)
    flat, shape = _frozen(words.reshape(-1)), np.array(words.shape)
    flat_out, mask = out.reshape(-1).view(bits), inside.reshape(-1).view(np.uint8)
    fixed = (flat, shape, _frozen(matrix), low, high, *map(_frozen, grid), *map(_frozen, axes))

    def work(z0: int, z1: int, y0: int, y1: int) -> None:
        _nearest_slab(*fixed, flat_out, mask, (z0, z1, y0, y1), background)

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
    if threads == 1 or len(slabs) < 2:
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
    if 0 in shape:
        return []
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


_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _index(position: float, axis: Array | None) -> float:
    """Return the continuous index of a position; beyond the ends the outermost cell goes on."""
    if axis is None:
        return position
    if axis.size == 1:
        return position - axis[0]
    cell = min(max(np.searchsorted(axis, position, side="right") - 1, 0), axis.size - 2)
    return cell + (position - axis[cell]) / (axis[cell + 1] - axis[cell])


@_jit
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


@_jit
def _clip(
    run: tuple[int, int], base: float, slope: float, x: Array, axis: Array | None, low: float, high: float
) -> tuple[int, int]:
    """Narrow a run along x to where one source axis is inside its bounds."""
    first, last = _index(base + slope * x[0], axis), _index(base + slope * x[x.size - 1], axis)
    if low <= first <= high and low <= last <= high:
        return run
    if last >= first:
        start, stop = _first(base, slope, x, axis, low, 1, False), _first(base, slope, x, axis, high, 1, True)
    else:
        start, stop = _first(base, slope, x, axis, -high, -1, False), _first(base, slope, x, axis, -low, -1, True)
    start = max(run[0], start)
    return start, max(start, min(run[1], stop))


@_jit
def _origin(matrix: Array, z: float, y: float) -> tuple[float, float, float]:
    """Map a row's (z, y, 0)."""
    return (
        matrix[0, 0] * z + matrix[0, 1] * y + matrix[0, 3],
        matrix[1, 0] * z + matrix[1, 1] * y + matrix[1, 3],
        matrix[2, 0] * z + matrix[2, 1] * y + matrix[2, 3],
    )


@_jit
def _put(array: Array, start: int, stop: int, value: float) -> None:
    for i in range(np.uint64(start), np.uint64(stop)):
        array[i] = value


@_jit
def _enter(
    origin: tuple[float, float, float], matrix: Array, low: Array, high: Array, x: Array,
    az: Array | None, ay: Array | None, ax: Array | None, inside: Array, row: int,
) -> tuple[int, int]:
    """Return the run of x that is inside, and write the mask of the row."""
    run = _clip((0, x.size), origin[0], matrix[0, 2], x, az, low[0], high[0])
    run = _clip(run, origin[1], matrix[1, 2], x, ay, low[1], high[1])
    start, stop = _clip(run, origin[2], matrix[2, 2], x, ax, low[2], high[2])
    _put(inside, row, row + start, 0)
    _put(inside, row + start, row + stop, 1)
    _put(inside, row + stop, row + x.size, 0)
    return start, stop


@_jit
def _split(
    base: float, slope: float, x: Array, start: int, stop: int, axis: Array | None, size: int, step: int,
    places: Array, fractions: Array,
) -> None:
    """Add the cells of one source axis to the places of a run, and set the fractions within the cells."""
    top, last = size - 1.0, max(size - 2.0, 0.0)
    for p in range(np.uint64(start), np.uint64(stop)):
        index = min(max(_index(base + slope * x[p], axis), 0.0), top)
        cell = min(np.floor(index), last)
        places[p] += np.uint64(np.int64(cell)) * step
        fractions[p] = index - cell


@_jit
def _round(base: float, slope: float, x: float, axis: Array | None, size: int) -> np.uint64:
    return np.uint64(np.int64(min(max(np.floor(_index(base + slope * x, axis) + 0.5), 0.0), size - 1.0)))


@_jit
def _weights(z: float, y: float, x: float, squared: bool) -> tuple[float, ...]:
    one = type(z)(1)
    uz, uy, ux = one - z, one - y, one - x
    if squared:
        uz, uy, ux, z, y, x = uz * uz, uy * uy, ux * ux, z * z, y * y, x * x
    a, b, c, d = uz * uy, uz * y, z * uy, z * y
    return a * ux, a * x, b * ux, b * x, c * ux, c * x, d * ux, d * x


@_jit
def _corners(at: int, steps: tuple[int, int, int]) -> tuple[int, ...]:
    z, y, x = steps
    a, b, c = at + y, at + z, at + y + z
    return at, at + x, a, a + x, b, b + x, c, c + x


@intrinsic  # type: ignore[untyped-decorator]
def _blend(typing: Any, out: Any, to: Any, source: Any, corners: Any, weights: Any, lanes: Any) -> Any:
    """Write ``out[to:to + n] = sum(w * source[at:at + n])`` as vector code, n being the length of `lanes`.

    numba alone leaves such short loops scalar, because it cannot rule out that `out` and `source` overlap.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = cgutils.ir.VectorType(context.get_data_type(source.dtype), len(lanes))
        zeros = cgutils.ir.Constant(cgutils.ir.VectorType(cgutils.ir.IntType(32), len(lanes)), None)
        width = context.get_abi_sizeof(context.get_data_type(source.dtype))

        def pointer(kind: Any, array: Any, index: Any) -> Any:
            data = context.make_array(kind)(context, builder, array).data
            return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

        def term(corner: Any, weight: Any) -> Any:
            empty = cgutils.ir.Constant(vector, cgutils.ir.Undefined)
            first = builder.insert_element(empty, weight, cgutils.ir.IntType(32)(0))
            value = builder.load(pointer(source, args[2], corner), align=width)
            return builder.fmul(builder.shuffle_vector(first, empty, zeros), value, flags=("contract",))

        pairs = zip(cgutils.unpack_tuple(builder, args[3]), cgutils.unpack_tuple(builder, args[4]), strict=True)
        total, *rest = [term(corner, weight) for corner, weight in pairs]
        for item in rest:
            total = builder.fadd(total, item, flags=("contract",))
        builder.store(total, pointer(out, args[0], args[1]), align=width)
        return context.get_dummy_value()

    return types.void(out, to, source, corners, weights, lanes), generate


@_jit
def _interpolate(
    source: Array, places: Array, steps: tuple[int, int, int], f: Array, squared: bool, out: Array, row: int,
    start: int, stop: int, lanes: tuple[float, ...],
) -> None:
    """Write a run of a row: whole vectors of channels, then the channels left over one by one."""
    k, n = steps[2], np.uint64(len(lanes))
    for p in range(np.uint64(start), np.uint64(stop)):
        weights = _weights(f[0, p], f[1, p], f[2, p], squared)
        to, c = (row + p) * k, np.uint64(0)
        while c + n <= k:
            _blend(out, to + c, source, _corners(places[p] + c, steps), weights, lanes)
            c += n
        while c < k:
            _blend(out, to + c, source, _corners(places[p] + c, steps), weights, lanes[:1])
            c += np.uint64(1)


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _sum(values: Array, start: int, stop: int) -> float:
    total = values.dtype.type(0)
    for i in range(start, stop):
        total += values[i]
    return total


@_jit
def _mend(
    source: Array, places: Array, steps: tuple[int, int, int], f: Array, squared: bool, out: Array, row: int,
    start: int, stop: int,
) -> None:
    """Repeat with care the values that became NaN, some of them only by 0 * NaN or 0 * inf."""
    k = steps[2]
    if np.isfinite(_sum(out, (row + start) * k, (row + stop) * k)):
        return
    for p in range(np.uint64(start), np.uint64(stop)):
        fractions = (float(f[0, p]), float(f[1, p]), float(f[2, p]))
        for c in range(k):
            if np.isnan(out[(row + p) * k + c]):
                out[(row + p) * k + c] = _careful(source, places[p] + c, steps, fractions, squared)


@_jit
def _careful(
    source: Array, at: int, steps: tuple[int, int, int], fractions: tuple[float, float, float], squared: bool
) -> float:
    """Interpolate one channel without touching the corners that have no weight."""
    total = source.dtype.type(0)
    for corner in range(8):
        weight, place = 1.0, at
        for a in range(3):
            fraction = fractions[a]
            if corner >> a & 1:
                weight *= 0.0 if fraction < TOLERANCE else fraction
                place += steps[a]
            else:
                weight *= 0.0 if fraction > 1 - TOLERANCE else 1 - fraction
        if weight > 0:
            total += (weight * weight if squared else weight) * source[place]
    return total


@_jit
def _linear_slab(
    source: Array, shape: Array, matrix: Array, low: Array, high: Array, z: Array, y: Array, x: Array,
    az: Array | None, ay: Array | None, ax: Array | None, out: Array, inside: Array,
    slab: tuple[int, int, int, int], squared: bool, lanes: tuple[float, ...],
) -> None:
    nz, ny, nx, k = np.uint64(shape[0]), np.uint64(shape[1]), np.uint64(shape[2]), np.uint64(shape[3])
    steps = (ny * nx * k * np.uint64(nz > 1), nx * k * np.uint64(ny > 1), k)
    places, f = np.empty(x.size, np.uint64), np.empty((3, x.size), source.dtype)
    fz, fy, fx = f[0], f[1], f[2]
    for j in range(slab[0], slab[1]):
        for i in range(slab[2], slab[3]):
            row, origin = np.uint64((j * y.size + i) * x.size), _origin(matrix, z[j], y[i])
            run = _enter(origin, matrix, low, high, x, az, ay, ax, inside, row)
            start, stop = np.uint64(run[0]), np.uint64(run[1])
            _put(out, row * k, (row + start) * k, np.nan)
            _put(out, (row + stop) * k, (row + np.uint64(x.size)) * k, np.nan)
            _put(places, start, stop, 0)
            _split(origin[0], matrix[0, 2], x, start, stop, az, nz, steps[0], places, fz)
            _split(origin[1], matrix[1, 2], x, start, stop, ay, ny, steps[1], places, fy)
            _split(origin[2], matrix[2, 2], x, start, stop, ax, nx, steps[2], places, fx)
            _interpolate(source, places, steps, f, squared, out, row, start, stop, lanes)
            _mend(source, places, steps, f, squared, out, row, start, stop)


@_jit
def _nearest_slab(
    source: Array, shape: Array, matrix: Array, low: Array, high: Array, z: Array, y: Array, x: Array,
    az: Array | None, ay: Array | None, ax: Array | None, out: Array, inside: Array,
    slab: tuple[int, int, int, int], fill: Array,
) -> None:
    nz, ny, nx, k = np.uint64(shape[0]), np.uint64(shape[1]), np.uint64(shape[2]), np.uint64(shape[3])
    for j in range(slab[0], slab[1]):
        for i in range(slab[2], slab[3]):
            row, origin = np.uint64((j * y.size + i) * x.size), _origin(matrix, z[j], y[i])
            run = _enter(origin, matrix, low, high, x, az, ay, ax, inside, row)
            start, stop = np.uint64(run[0]), np.uint64(run[1])
            for p in range(np.uint64(x.size)):
                to = (row + p) * k
                if p < start or p >= stop:
                    for c in range(k):
                        out[to + c] = fill[c]
                else:
                    at = _round(origin[0], matrix[0, 2], x[p], az, nz) * ny
                    at = (at + _round(origin[1], matrix[1, 2], x[p], ay, ny)) * nx
                    at = (at + _round(origin[2], matrix[2, 2], x[p], ax, nx)) * k
                    for c in range(k):
                        out[to + c] = source[at + c]
