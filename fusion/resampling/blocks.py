"""Read a source over a grid: at once, or block by block where data are lazy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, spatial_dims
from fusion.resampling.cells import Span


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

    def read(self, full: Any, span: Span, window: Span) -> tuple[Any, Any]:
        """Return values and coverage of a box of the grid from a window of the source, on one thread."""

    def read_all(self, full: Any) -> tuple[Any, Any]:
        """Return values and coverage of the grid."""


def run(full: Any, grid: xr.Dataset, reader: Reader) -> tuple[Any, Any]:
    """Read `full` (z, y, x, channel) on `grid`; return values and coverage, lazy if either is."""
    chunked = [variable for variable in grid.data_vars.values() if spatial_dims(variable) and variable.chunks]
    if hasattr(full, "dask") or chunked:
        return _lazy(full, grid, reader)
    return reader.read_all(full)


def _lazy(full: Any, grid: xr.Dataset, reader: Reader) -> tuple[Any, Any]:
    """Build one task for each block of the grid; each reads only the window of the source that it sees."""
    import dask.array as da
    from dask.delayed import delayed

    chunks = _chunks(grid, reader.shape, full)
    source = full if hasattr(full, "dask") else da.from_array(full, chunks=-1)
    source = source.rechunk({3: -1})
    values = np.empty(tuple(map(len, chunks)), dtype=object)
    inside = np.empty_like(values)
    starts = [np.cumsum([0, *sizes]) for sizes in chunks]
    block = delayed(reader.read, nout=2, pure=True)
    dtype, coverage_dtype = reader.dtypes(full.dtype)
    for index in np.ndindex(*values.shape):
        z, y, x = (slice(int(start[i]), int(start[i + 1])) for start, i in zip(starts, index, strict=True))
        window = reader.window((z, y, x), full.shape)
        shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        piece, mask = block(source[window], (z, y, x), window)
        values[index] = da.from_delayed(piece, (*shape, full.shape[3]), dtype=dtype)
        inside[index] = da.from_delayed(mask, shape, dtype=coverage_dtype)
    stacked = np.empty((*values.shape, 1), dtype=object)
    stacked[..., 0] = values
    return da.block(stacked.tolist()), da.block(inside.tolist())


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
