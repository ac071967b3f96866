"""Blocks of lazy values that are kept in a folder until a file is complete, so that a run that was stopped goes on.

A block is known by the name that dask gives it, which follows from the data and the parameters it is computed from. Its
file ends in the sha256 of its values. Several processes, also those of a cluster that shares the folder, may write.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.errors import StoreError
from fusion.files.budget import in_batches
from fusion.progress import Progress, watched

Array = npt.NDArray[Any]
_DIGEST: Final = 32


def compute(
    sources: Sequence[Any],
    targets: Sequence[Any],
    folder: Path,
    memory: float | None = None,
    progress: Progress | None = None,
) -> None:
    """Compute lazy arrays block by block into a folder, then hand the blocks to targets that take regions.

    Parameters
    ----------
    sources : sequence of dask arrays
    targets : sequence
        Each takes ``target[region] = values``.
    folder : Path
        What it holds already is not computed again; blocks are removed once the targets have them.
    memory : float, optional
        Bytes that blocks may take at a time, as in `fusion.files.budget`.
    progress : callable, optional
        Takes the share that is done.

    Raises
    ------
    StoreError
        If a block cannot be written, another process cannot see the folder, or a block does not fit in memory.
    """
    from dask.base import compute as compute_together

    folder.mkdir(parents=True, exist_ok=True)
    if memory is not None:
        in_batches(sources, lambda number, index: _missing(sources[number], index, folder), memory, progress)
        progress = None
    with watched("save", progress):
        done = compute_together(*(_kept(source, folder) for source in sources))
    for source, target, files in zip(sources, targets, done, strict=True):
        for file, region in zip(files, _regions(source), strict=True):
            if (values := _read(Path(file))) is None:
                raise StoreError(f"{file}: a block did not read back as written; is the disk failing?")
            target[region] = values


@contextmanager
def vanishing(folder: Path) -> Iterator[Path]:
    """Yield a folder for blocks that vanishes again, whatever happens."""
    try:
        yield folder
    finally:
        discard(folder)


def on_cluster() -> bool:
    """Return whether a client of `dask.distributed` is open, whose workers compute."""
    if "distributed" not in sys.modules:
        return False
    from distributed import default_client

    try:
        return default_client() is not None
    except ValueError:  # none is open
        return False


def discard(folder: Path) -> None:
    """Remove the blocks of a folder, and the folder if nothing else is in it."""
    for file in [*folder.glob("*.block"), *folder.glob("*.partial")]:
        file.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


# One layer above the array: a task for each block that is not on disk yet, which writes it and returns where. Blocks on
# disk have no task, so that dask leaves out what only they need. A result is a path and not values, so that finished
# blocks take no memory, on this machine or another.
def _kept(source: Any, folder: Path) -> Any:
    """Return a delayed list of the files of all blocks of an array."""
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    name, tasks = f"kept-{source.name}", dict[Any, Any]()
    files: list[Any] = []
    for index in product(*map(range, source.numblocks)):
        if (task := _missing(source, index, folder)) is not None:
            tasks[(name, *index)] = task
        files.append((name, *index) if task is not None else str(_file(source, index, folder)))
    graph = HighLevelGraph.from_collections(name, {**tasks, name: (list, files)}, dependencies=[source])
    return Delayed(name, graph)


def _missing(source: Any, index: tuple[int, ...], folder: Path) -> Any:
    """Return the task that computes a block of an array and writes it; None where it is on disk."""
    file = _file(source, index, folder)
    return (_keep, (source.name, *index), str(file)) if _read(file) is None else None


def _file(source: Any, index: tuple[int, ...], folder: Path) -> Path:
    """Return the file of a block of an array."""
    return folder / f"{hashlib.sha256(repr((source.name, index)).encode()).hexdigest()}.block"


def _keep(values: Array, file: str) -> str:
    """Write a block beside its file and rename it; return the file."""
    block = np.ascontiguousarray(values)
    folder = Path(file).parent
    try:
        descriptor, partial = tempfile.mkstemp(dir=folder, suffix=".partial")
    except OSError as error:
        raise StoreError(f"{folder}: no block can be written there ({error.strerror}); all workers need it") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.save(stream, block)
            stream.write(hashlib.sha256(block.data).digest())
        Path(partial).replace(file)
    except OSError as error:
        Path(partial).unlink(missing_ok=True)
        raise StoreError(f"{file}: a block could not be written ({error.strerror})") from error
    return file


def _read(file: Path) -> Array | None:
    """Return the values of a block, or None if it is not there or damaged."""
    try:
        with file.open("rb") as stream:
            values: Array = np.load(stream, allow_pickle=False)
            digest = stream.read(_DIGEST)
    except (OSError, ValueError, EOFError):
        return None
    return values if hashlib.sha256(values.data).digest() == digest else None


def _regions(source: Any) -> Iterator[tuple[slice, ...]]:
    starts = [np.cumsum([0, *sizes]).tolist() for sizes in source.chunks]
    for index in product(*map(range, source.numblocks)):
        yield tuple(slice(s[i], s[i + 1]) for s, i in zip(starts, index, strict=True))
