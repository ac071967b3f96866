"""Kernels run on the slabs of a grid, in threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fusion.progress import counted

_ROWS = 32
_VALUES = 1 << 21


def in_slabs(work: Callable[..., None], shape: Sequence[int], threads: int | None = None) -> None:
    """Call ``work(z0, z1, y0, y1)`` on slabs that cover a grid, in threads.

    The slabs are small, so that an interrupt need only wait for those under way, and narrow in y, so that the
    source planes that one output plane reads are still in the cache for the next.

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
        for slab in counted(slabs, "resample", "slabs"):
            work(*slab)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        for future in counted([pool.submit(work, *slab) for slab in slabs], "resample", "slabs"):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _slabs(shape: Sequence[int], threads: int) -> list[tuple[int, int, int, int]]:
    if 0 in shape:
        return []
    planes, rows, row = shape[0], shape[1], int(np.prod(shape[2:]))
    limit = min(_VALUES, planes * rows * row // (4 * threads)) // row
    wide = max(1, min(rows, limit, max(_ROWS, limit // planes)))
    deep = max(1, limit // wide)
    starts = [(z, y) for z in range(0, planes, deep) for y in range(0, rows, wide)]
    return [(z, min(z + deep, planes), y, min(y + wide, rows)) for z, y in starts]
