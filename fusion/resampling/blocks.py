"""Read a source over a grid: at once, or block by block where data are lazy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import SPATIAL, spatial_dims
from fusion.grids.cells import Span

Array = npt.NDArray[Any]


class Reader(Protocol):
    """How to read a source (z, y, x, channel) on a grid: at points, or over boxes."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the grid."""

    def for_variances(self) -> Reader:
        """Return the reader of variances: the weights are squared, or left where a value is that of one pixel."""

    def dtypes(self, source: Any) -> tuple[Any, Any]:
        """Return the dtypes of values and of coverage, from that of the source."""

    def window(self, span: Span, shape: tuple[int, ...]) -> Span:
        """Return the box of a source of a shape that a box of the grid can see."""

    def read(self, full: Array, span: Span, window: Span) -> tuple[Array, Array]:
        """Return values and coverage of a box of the grid from a window of the source, on one thread."""

    def read_all(self, full: Array) -> tuple[Array, Array]:
        """Return values and coverage of the grid."""


def run(full: Any, grid: xr.Dataset, reader: Reader) -> tuple[Any, Any]:
    """Read `full` (z, y, x, channel) on `grid`; return values and coverage, lazy if either is."""
    chunked = [variable for variable in grid.data_vars.values() if spatial_dims(variable) and variable.chunks]
    if hasattr(full, "dask") or chunked:
        return _lazy(full, grid, reader)
    return reader.read_all(full)


# One layer with one task for each block of values, which takes the blocks of the source that it sees, and one with a
# task for each block of coverage, which takes none. Slicing the source for each block instead makes dask rewrite a
# graph that grows with the square of the blocks, and make a block of the source anew for each that reads it.
def _lazy(full: Any, grid: xr.Dataset, reader: Reader) -> tuple[Any, Any]:
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    chunks = _chunks(grid, reader.shape, full)
    source = full if hasattr(full, "dask") else da.from_array(full, chunks=-1)
    source = source.rechunk({3: -1})
    dtype, coverage_dtype = reader.dtypes(full.dtype)
    token = tokenize(source.name, reader, chunks)
    names = f"resampled-{token}", f"coverage-{token}"
    values: dict[Any, Any] = {}
    coverage: dict[Any, Any] = {}
    starts = [np.cumsum([0, *sizes]) for sizes in chunks]
    for index in np.ndindex(*map(len, chunks)):
        z, y, x = (slice(int(start[i]), int(start[i + 1])) for start, i in zip(starts, index, strict=True))
        window = reader.window((z, y, x), full.shape)
        keys, begin = _covering(source, window)
        values[names[0], *index, 0] = (_values, reader, [z, y, x], list(window), keys, begin)
        coverage[names[1], *index] = (_coverage, reader, [z, y, x], list(window), str(full.dtype))
    read = HighLevelGraph.from_collections(names[0], values, dependencies=[source])
    seen = HighLevelGraph.from_collections(names[1], coverage, dependencies=[])
    return (
        da.Array(read, names[0], chunks=(*chunks, (full.shape[3],)), dtype=dtype),
        da.Array(seen, names[1], chunks=chunks, dtype=coverage_dtype),
    )


def _covering(source: Any, window: Span) -> tuple[list[Any], list[int]]:
    """Return the keys of the blocks that a window of a lazy source lies in, nested, and where the first begins."""
    ranges, begin = [], []
    for sizes, span in zip(source.chunks[:3], window, strict=True):
        ends = np.cumsum(sizes)
        first, last = int(np.searchsorted(ends, span.start, side="right")), int(np.searchsorted(ends, span.stop))
        ranges.append(range(first, last + 1))
        begin.append(int(ends[first] - sizes[first]))
    z, y, x = ranges
    return [[[(source.name, i, j, k, 0) for k in x] for j in y] for i in z], begin


def _values(reader: Reader, span: list[slice], window: list[slice], blocks: list[Any], begin: list[int]) -> Array:
    joined = _joined(blocks, begin, window)
    return reader.read(joined, (span[0], span[1], span[2]), (window[0], window[1], window[2]))[0]


# Only what the window sees is copied: the blocks that it lies in may be many times as large.
def _joined(blocks: list[Any], begin: list[int], window: list[slice]) -> Array:
    """Return a window of blocks that stand side by side, nested along z, y and x, the first one from `begin`."""
    first = blocks[0][0][0]
    out = np.empty((*(s.stop - s.start for s in window), first.shape[3]), first.dtype)
    ends = [np.cumsum([start, *sizes]) for start, sizes in zip(begin, _sizes(blocks), strict=True)]
    for index in np.ndindex(*(end.size - 1 for end in ends)):
        corners = [(int(end[i]), int(end[i + 1])) for end, i in zip(ends, index, strict=True)]
        seen = [(max(low, s.start), min(high, s.stop)) for (low, high), s in zip(corners, window, strict=True)]
        to = tuple(slice(low - s.start, high - s.start) for (low, high), s in zip(seen, window, strict=True))
        of = tuple(slice(low - c, high - c) for (low, high), (c, _) in zip(seen, corners, strict=True))
        out[to] = blocks[index[0]][index[1]][index[2]][of]
    return out


def _sizes(blocks: list[Any]) -> tuple[list[int], list[int], list[int]]:
    """Return the sizes along z, y and x of blocks that stand side by side."""
    planes, rows, row = blocks, blocks[0], blocks[0][0]
    return [p[0][0].shape[0] for p in planes], [r[0].shape[1] for r in rows], [b.shape[2] for b in row]


def _coverage(reader: Reader, span: list[slice], window: list[slice], dtype: str) -> Array:
    """Return the coverage of a block; values of the source are not needed for it, only their number."""
    empty = np.zeros((*(s.stop - s.start for s in window), 1), dtype)
    return reader.read(empty, (span[0], span[1], span[2]), (window[0], window[1], window[2]))[1]


def _chunks(grid: xr.Dataset, shape: tuple[int, int, int], full: Any) -> tuple[tuple[int, ...], ...]:
    from dask.array.core import normalize_chunks

    chunked = [variable for variable in grid.data_vars.values() if spatial_dims(variable) and variable.chunks]
    if chunked:
        known: Mapping[Any, tuple[int, ...]] = chunked[0].chunksizes
        return tuple(known.get(dim, (size,)) for dim, size in zip(SPATIAL, shape, strict=True))
    chunks: tuple[tuple[int, ...], ...] = normalize_chunks(
        ("auto",) * 3 + (-1,), shape=(*shape, full.shape[3]), dtype=full.dtype
    )
    return chunks[:3]
