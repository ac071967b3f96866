"""Arrays that are read when they are asked for: row by row, or plane by plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def by_rows(read: Callable[[int], np.ndarray[Any, Any]], rows: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a dask array of `rows` rows, planes or blocks, each of them read by ``read(row)`` when it is needed.

    Parameters
    ----------
    read : callable
        Takes the number of a row; opens the file itself.
    rows : int
        At least one.
    shape : tuple of int
        Of one row.
    dtype : dtype

    Examples
    --------
    >>> array = by_rows(lambda row: np.full(2, row), 3, (2,), int)
    >>> array.chunks, array[2].compute()
    (((1, 1, 1), (2,)), array([2, 2]))
    """
    import dask.array as da
    from dask.delayed import delayed

    reading = delayed(read, pure=False)
    return da.stack([da.from_delayed(reading(row), shape, dtype) for row in range(rows)])
