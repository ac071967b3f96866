"""How far a computation of lazy values is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

Progress: TypeAlias = Callable[[float], object]
"""Takes the share of the work that is done, from 0 to 1."""


@contextmanager
def watched(progress: Progress | None) -> Iterator[None]:
    """Tell how far dask is, task by task; the workers of a cluster tell its dashboard instead.

    Examples
    --------
    >>> import dask.array as da
    >>> shares = []
    >>> with watched(shares.append):
    ...     total = da.ones(4, chunks=1).sum().compute(scheduler="synchronous")
    >>> shares == sorted(shares), shares[-1]
    (True, 1.0)
    """
    if progress is None:
        yield
        return
    from dask.callbacks import Callback

    def tell(_key: object, _value: object, _graph: object, state: Mapping[str, Any], _worker: object) -> None:
        done = len(state["finished"])
        progress(done / (done + sum(len(state[name]) for name in ("waiting", "ready", "running"))))

    with Callback(posttask=tell):
        yield
