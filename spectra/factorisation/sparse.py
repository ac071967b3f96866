"""A spectral map as a matrix, pixels by channels: sparse where most values are zero, as in maps of X-ray counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import spatial_dims
from fusion.errors import DataError

Array: TypeAlias = npt.NDArray[np.float64]
Matrix: TypeAlias = Any
"""A NumPy array, or a scipy ``csr_array``: float64, (pixel, channel)."""

_SPARSE_BELOW: Final = 0.3
"""Share of non-zeros at which 12 bytes each, read in no order, stop paying against 8 bytes read in a row."""
_SLAB_VALUES: Final = 1 << 23
_LARGEST: Final = 1e50


class Rows(NamedTuple):
    """The non-zeros of a few pixels and channels, row by row."""

    starts: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int32]
    values: npt.NDArray[Any]


Block: TypeAlias = tuple[npt.NDArray[np.int64], int, Any]
"""The pixels that the rows of a block are, its first channel, and its values."""


def pixel_matrix(array: xr.DataArray, signal: str) -> Matrix:
    """Return a map as pixels by channels, read block by block where it is lazy.

    Parameters
    ----------
    array : DataArray
        Dims (z, y, x, signal), those that exist, in any order; in memory or lazy, in chunks of any shape.
    signal : str
        The dim of the channels.

    Returns
    -------
    csr_array or array, (pixel, channel)
        float64. Sparse if less than 30 % of the values are not zero; no dense array of the size of the map is made
        then, and a lazy map is dense in as many blocks at a time as dask has threads. The same for any chunks.

    Raises
    ------
    DataError
        If the largest value is beyond 1e50 or below 1e-50.

    Examples
    --------
    >>> counts = xr.DataArray(np.diag([3, 0, 2, 1])[None], dims=("y", "x", "energy"))
    >>> matrix = pixel_matrix(counts, "energy")
    >>> matrix.shape, matrix.nnz, matrix.sum(axis=1)
    ((4, 4), 3, array([3., 0., 2., 1.]))
    """
    return matrix_of_at_most(math.inf, array, signal)


def matrix_of_at_most(most: float, array: xr.DataArray, signal: str) -> Matrix | None:
    """Return `pixel_matrix`, or None for a lazy map of more values than `most` of which any block is dense."""
    ordered = array.transpose(*spatial_dims(array), signal)
    shape = math.prod(ordered.shape[:-1]), ordered.shape[-1]
    keep = ordered.size <= most
    blocks = list(_lazy_blocks(ordered, keep) if ordered.chunks else _slabs(ordered.values.reshape(shape)))
    if any(values is None for *_, values in blocks):
        return None
    filled = sum(len(values.values) if isinstance(values, Rows) else np.count_nonzero(values) for *_, values in blocks)
    matrix = _joined(blocks, shape) if filled < _SPARSE_BELOW * math.prod(shape) else _filled(blocks, shape)
    _require_size(matrix, str(array.name))
    return matrix


def _require_size(matrix: Matrix, name: str) -> None:
    """Refuse values whose squares would leave the range of numbers; what is not finite is for others to judge."""
    values = entries(matrix)
    largest = float(max(values.max(initial=0.0), -values.min(initial=0.0)))
    if np.isfinite(largest) and largest > 0 and not 1 / _LARGEST < largest < _LARGEST:
        raise DataError(f"{name}: the largest value is {largest:.3g}; give values in a unit that brings it near 1")


def live(matrix: Matrix) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which pixels and which channels have any value that is not zero."""
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix.any(axis=1)), np.asarray(matrix.any(axis=0))
    return np.diff(matrix.indptr) > 0, np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0


def entries(matrix: Matrix) -> Array:
    """Return the values that are kept: all of a dense matrix, those that are not zero of a sparse one."""
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.data)


# D → diag(1/p) D diag(1/c), applied to the stored values alone: zeros stay zeros, so weighting never makes a map dense.
def divided(matrix: Matrix, by_pixel: Array, by_channel: Array) -> Matrix:
    """Return the matrix with its rows and its columns divided by a number each.

    Examples
    --------
    >>> divided(np.ones((2, 2)), np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    array([[1.   , 0.25 ],
           [0.5  , 0.125]])
    """
    if isinstance(matrix, np.ndarray):
        scaled = matrix / by_channel
        scaled /= by_pixel[:, None]
        return scaled
    values = matrix.data / by_channel[matrix.indices]
    values /= np.repeat(by_pixel, np.diff(matrix.indptr))
    return type(matrix)((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def _slabs(matrix: npt.NDArray[Any]) -> Iterator[Block]:
    """Pack an array in memory a few rows at a time, so that the indices of the search stay small."""
    rows = max(1, _SLAB_VALUES // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), rows):
        slab = matrix[start : start + rows]
        yield np.arange(start, start + len(slab)), 0, _packed(slab)


def _lazy_blocks(ordered: xr.DataArray, keep: bool) -> list[Block]:
    """Pack every chunk where it is computed; all in one graph, so that what chunks share is computed once."""
    from dask.base import compute
    from dask.delayed import delayed

    pixels = np.arange(math.prod(ordered.shape[:-1])).reshape(ordered.shape[:-1])
    packed, positions = [], []
    for index, block in np.ndenumerate(ordered.data.to_delayed()):
        *space, channels = (_span(sizes, i) for sizes, i in zip(ordered.data.chunks, index, strict=True))
        positions.append((pixels[tuple(space)].ravel(), channels.start))
        packed.append(delayed(_packed)(block, keep))
    return [(*position, values) for position, values in zip(positions, compute(*packed), strict=True)]


def _span(sizes: Sequence[int], index: int) -> slice:
    start = sum(sizes[:index])
    return slice(start, start + sizes[index])


def _packed(block: npt.NDArray[Any], keep: bool = True) -> Rows | npt.NDArray[Any] | None:
    """Return the non-zeros of a block (..., channel); if they are many, the block itself, or None."""
    matrix = np.asarray(block).reshape(-1, block.shape[-1])
    filled = np.flatnonzero(matrix != 0)
    if filled.size >= _SPARSE_BELOW * matrix.size:
        return matrix if keep else None
    # The rows start where multiples of the row length would stand among the flat indices, which ascend: cheaper than
    # numpy.nonzero, which keeps two indices of 8 bytes for each value.
    starts = np.searchsorted(filled, np.arange(len(matrix) + 1) * matrix.shape[1])
    values = matrix.ravel()[filled]
    filled -= np.repeat(np.arange(len(matrix)) * matrix.shape[1], np.diff(starts))
    return Rows(starts, filled.astype(np.int32), values)


def _rows(values: Rows | npt.NDArray[Any]) -> Rows:
    """Return a block as non-zeros whatever their share."""
    if isinstance(values, Rows):
        return values
    rows, channels = np.nonzero(values)
    starts = np.searchsorted(rows, np.arange(len(values) + 1))
    return Rows(starts, channels.astype(np.int32), values[rows, channels])


def _joined(blocks: list[Block], shape: tuple[int, int]) -> Matrix:
    """Return one sparse matrix; blocks come in the order of their channels, which leaves its rows sorted."""
    from scipy.sparse import csr_array

    sparse = [(pixels, first, _rows(values)) for pixels, first, values in blocks]
    counts = np.zeros(shape[0], np.int64)
    for pixels, _, rows in sparse:
        counts[pixels] += np.diff(rows.starts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    kind = np.int32 if max(starts[-1], *shape) <= np.iinfo(np.int32).max else np.int64
    channels, values, cursor = np.empty(starts[-1], kind), np.empty(starts[-1]), starts[:-1].copy()
    # each pixel has its place in the result, known from the counts; a cursor says how much of it is filled
    for pixels, first, rows in sparse:
        own = np.diff(rows.starts)
        target = np.arange(rows.values.size) + np.repeat(cursor[pixels] - rows.starts[:-1], own)
        channels[target], values[target] = rows.channels + first, rows.values
        cursor[pixels] += own
    return csr_array((values, channels, starts.astype(kind)), shape=shape)


def _filled(blocks: list[Block], shape: tuple[int, int]) -> Array:
    """Return one dense matrix."""
    full = np.zeros(shape)
    for pixels, first, values in blocks:
        if isinstance(values, Rows):
            full[np.repeat(pixels, np.diff(values.starts)), values.channels + first] = values.values
        else:
            full[pixels, first : first + values.shape[1]] = values
    return full
