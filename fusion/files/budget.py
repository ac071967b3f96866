"""Lazy arrays computed a few blocks at a time, so that what is under way fits a budget of memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

import numpy as np

from fusion.errors import StoreError
from fusion.progress import Progress, bar

Key = tuple[Any, ...]
_COPIES: Final = 3
"""Blocks that a thread works with besides those that are kept: the window it reads, the result, its compressed form."""


def parsed(memory: str | float) -> float:
    """Return bytes of a text such as "1 GB", or of a number of bytes.

    Raises
    ------
    StoreError
        If it is neither, or not positive.

    Examples
    --------
    >>> parsed("1.5 GB"), parsed(2e9)
    (1500000000.0, 2000000000.0)
    """
    from dask.utils import parse_bytes

    try:
        size = float(parse_bytes(memory) if isinstance(memory, str) else memory)
    except (TypeError, ValueError):
        size = -1.0
    if not size > 0:
        raise StoreError(f"memory is a size such as '1 GB', or a number of bytes; received {memory!r}")
    return size


def in_batches(
    sources: Sequence[Any], task: Callable[[int, Key], Any], memory: float, progress: Progress | None = None
) -> None:
    """Compute a task for each block of lazy arrays, as many at a time as fit in memory.

    Parameters
    ----------
    sources : sequence of dask arrays
    task : callable
        Takes the number of an array and the index of a block to what dask computes for it; None where nothing is to do.
    memory : float
        Bytes.
    progress : callable, optional
        Takes the share that is done.

    Raises
    ------
    StoreError
        If a single block and what it is computed from do not fit.
    """
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    done, total = 0, sum(source.npartitions for source in sources)
    with bar("save", "%", 100.0, progress) as to:
        for batch in _batches(sources, memory):
            name = f"batch-{done}-{sources[0].name}"
            planned = {(name, number, *index): task(number, index) for number, index in batch}
            tasks: dict[Any, Any] = {key: one for key, one in planned.items() if one is not None}
            tasks[name] = (list, list(tasks))
            Delayed(name, HighLevelGraph.from_collections(name, tasks, dependencies=list(sources))).compute()
            done += len(batch)
            to(100.0 * done / total)


def store(sources: Sequence[Any], targets: Sequence[Any], memory: float, progress: Progress | None = None) -> None:
    """Compute lazy arrays in batches into targets that take ``target[region] = values``, as `in_batches`."""
    starts = [[np.cumsum([0, *sizes]).tolist() for sizes in source.chunks] for source in sources]

    def task(number: int, index: Key) -> Any:
        region = [slice(along[i], along[i + 1]) for along, i in zip(starts[number], index, strict=True)]
        return _put, targets[number], region, (sources[number].name, *index)

    in_batches(sources, task, memory, progress)


def _put(target: Any, region: list[slice], values: Any) -> None:
    target[tuple(region)] = values


# Blocks are taken in C order, those of all arrays side by side, because values and their errors come from the same
# blocks of a source. In the worst case dask makes all that a batch is computed from before it finishes a block; blocks
# of a source count as large as the largest block of the results. A block of a source that two batches need is made
# twice: the smaller the budget, the more often.
def _batches(sources: Sequence[Any], memory: float) -> Iterator[list[tuple[int, Key]]]:
    """Return blocks, as numbers of arrays and indices, in batches that fit in memory."""
    roots = _roots(sources)
    largest = max(float(np.prod(source.chunksize)) * source.dtype.itemsize for source in sources)
    room = memory / largest - _COPIES * (os.cpu_count() or 1)
    batch: list[tuple[int, Key]] = []
    needed: set[Any] = set()
    for number, index in _side_by_side(sources):
        own = roots[(sources[number].name, *index)]
        if len(own) + 1 > room:
            least = (len(own) + 1 + _COPIES * (os.cpu_count() or 1)) * largest
            raise StoreError(
                f"memory: a block of {largest / 1e6:.3g} MB and the {len(own)} that it is computed from need "
                f"{least / 1e6:.3g} MB; received {memory / 1e6:.3g} MB: give more, or make smaller blocks (ds.chunk)"
            )
        if batch and len(needed | own) + len(batch) + 1 > room:
            yield batch
            batch, needed = [], set()
        batch.append((number, index))
        needed |= own
    yield batch


def _side_by_side(sources: Sequence[Any]) -> list[tuple[int, Key]]:
    """Return the blocks of all arrays, sorted by how far along its array each is."""
    placed = []
    for number, source in enumerate(sources):
        indices = list(product(*map(range, source.numblocks)))
        placed += [(at / len(indices), number, index) for at, index in enumerate(indices)]
    return [(number, index) for _, number, index in sorted(placed)]


def _roots(sources: Sequence[Any]) -> Mapping[Any, set[Any]]:
    """Return which tasks that depend on no other each task is computed from."""
    from dask._task_spec import convert_legacy_graph
    from dask.core import toposort
    from dask.highlevelgraph import HighLevelGraph

    graph = convert_legacy_graph(dict(HighLevelGraph.merge(*(source.dask for source in sources))))
    roots: dict[Any, set[Any]] = {}
    needed = {key: set(task.dependencies) for key, task in graph.items()}
    for key in toposort(needed, dependencies=needed):
        needs = needed[key]
        roots[key] = set().union(*(roots[one] for one in needs)) if needs else {key}
    return roots
