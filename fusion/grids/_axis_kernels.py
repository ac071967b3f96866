"""Where positions lie on an ascending axis; shared by all kernels."""

from typing import Any

from numpy.typing import NDArray

from fusion._kernels import part

Array = NDArray[Any]
Number = Any


# numpy.searchsorted finds the same; Numba compiles its many cases for a third of a second in each kernel that calls it.
@part
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
