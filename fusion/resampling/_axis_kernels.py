"""Where positions lie on an ascending axis; shared by all kernels."""

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Number = Any


_jit = njit(cache=True, nogil=True, error_model="numpy")


# numpy.searchsorted finds the same; Numba compiles its many cases for a third of a second in each kernel that calls it.
@_jit
def count_up_to(axis: Array, position: Number) -> Number:
    """Return how many values of an ascending axis are at or below a position."""
    start, stop = 0, axis.size
    while start < stop:
        middle = (start + stop) // 2
        if axis[middle] <= position:
            start = middle + 1
        else:
            stop = middle
    return start


@_jit
def count_below(axis: Array, position: Number) -> Number:
    """Return how many values of an ascending axis are below a position."""
    start, stop = 0, axis.size
    while start < stop:
        middle = (start + stop) // 2
        if axis[middle] < position:
            start = middle + 1
        else:
            stop = middle
    return start


@_jit
def spans(axis: Array, low: Array, high: Array, margin: int, size: int, first: Array, stop: Array) -> None:
    """Write which of the `size` cells of an axis each interval from `low` to `high` touches, and some to each side.

    `axis` holds the edges of the cells, or their centres: then a margin of one adds the neighbours that interpolation
    reads.
    """
    for t in range(low.size):
        begin = count_up_to(axis, low[t]) - 1 - margin
        end = count_below(axis, high[t]) + margin
        first[t] = min(max(begin, 0), size)
        stop[t] = max(min(end, size), first[t])
