"""Run the resampling kernels over a grid: at once, or block by block where data are lazy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import SPATIAL, spatial_dims

Method = Literal["linear", "nearest"]
Vector = npt.NDArray[np.float64]
OUTSIDE: Final = -1


@dataclass(frozen=True)
class Job:
    """How to read a source of three spatial axes and channels from the coordinates of a grid.

    Attributes
    ----------
    matrix : array (3, 4)
        Maps grid coordinates to pixel indices, or to coordinates along the axes that `axes` gives.
    axes : three vectors or None
        Pixel centres of each uneven axis.
    half : three floats
        Half-thickness of axes with one pixel.
    method : {"linear", "nearest"}
    squared : bool
        Interpolate variances: the weights are squared.
    """

    matrix: Vector
    axes: tuple[Vector | None, ...]
    half: tuple[float, float, float]
    method: Method = "linear"
    squared: bool = False


def run(full: Any, grid: xr.Dataset, job: Job) -> tuple[Any, Any]:
    """Resample `full` (z, y, x, channel) onto `grid`; return values and coverage, lazy if either is."""
    chunked = [variable for variable in grid.data_vars.values() if spatial_dims(variable) and variable.chunks]
    if hasattr(full, "dask") or chunked:
        return _lazy(full, grid, job)
    return _eager(full, coordinates(grid), job)


def coordinates(grid: xr.Dataset) -> list[Vector]:
    """Return z, y, x of the grid; a missing one is the plane it lies in, 0 if nobody said."""
    found = (np.asarray(grid[dim].values, dtype=float) if dim in grid.coords else np.zeros(1) for dim in SPATIAL)
    return [np.atleast_1d(values) for values in found]


def _eager(full: npt.NDArray[Any], points: list[Vector], job: Job, *, threads: int | None = None) -> tuple[Any, Any]:
    from fusion.resampling import _kernels

    shape = tuple(axis.size for axis in points)
    out = np.empty((*shape, full.shape[3]), dtype=full.dtype)
    inside = np.empty(shape, dtype=np.uint8)
    options: dict[str, Any] = {"axes": job.axes, "half": job.half, "threads": threads}
    kernel: Callable[..., None] = _kernels.linear
    if job.method == "nearest":
        kernel, options["fill"] = _kernels.nearest, np.nan if full.dtype.kind == "f" else OUTSIDE
    else:
        options["squared"] = job.squared
    kernel(np.ascontiguousarray(full), job.matrix, tuple(points), out, inside, **options)
    return out, inside


def _lazy(full: Any, grid: xr.Dataset, job: Job) -> tuple[Any, Any]:
    """Build one task for each block of the grid; each reads only the part of the source that it sees."""
    import dask.array as da
    from dask.delayed import delayed

    points = coordinates(grid)
    chunks = _chunks(grid, points, full)
    source = full if hasattr(full, "dask") else da.from_array(full, chunks=-1)
    source = source.rechunk({3: -1})
    values = np.empty(tuple(map(len, chunks)), dtype=object)
    inside = np.empty_like(values)
    starts = [np.cumsum([0, *sizes]) for sizes in chunks]
    block = delayed(_block, nout=2, pure=True)
    for index in np.ndindex(*values.shape):
        part = [axis[start[i] : start[i + 1]] for axis, start, i in zip(points, starts, index, strict=True)]
        shape = tuple(axis.size for axis in part)
        window = _window(part, full.shape, job)
        piece, mask = block(source[window], part, job, tuple(span.start for span in window))
        values[index] = da.from_delayed(piece, (*shape, full.shape[3]), dtype=full.dtype)
        inside[index] = da.from_delayed(mask, shape, dtype=np.uint8)
    stacked = np.empty((*values.shape, 1), dtype=object)
    stacked[..., 0] = values
    return da.block(stacked.tolist()), da.block(inside.tolist())


def _chunks(grid: xr.Dataset, points: list[Vector], full: Any) -> tuple[tuple[int, ...], ...]:
    from dask.array.core import normalize_chunks

    chunked = [variable for variable in grid.data_vars.values() if spatial_dims(variable) and variable.chunks]
    if chunked:
        known: Mapping[Any, tuple[int, ...]] = chunked[0].chunksizes
        return tuple(known.get(dim, (axis.size,)) for dim, axis in zip(SPATIAL, points, strict=True))
    shape = tuple(axis.size for axis in points)
    found: tuple[tuple[int, ...], ...] = normalize_chunks(
        ("auto",) * 3 + (-1,), shape=(*shape, full.shape[3]), dtype=full.dtype
    )
    return found[:3]


def _window(part: list[Vector], shape: tuple[int, ...], job: Job) -> tuple[slice, slice, slice]:
    """Return the pixels of the source that a block of the grid can see, at least two along each axis that has two."""
    corners = np.stack(np.meshgrid(*([axis.min(), axis.max()] for axis in part), indexing="ij")).reshape(3, -1)
    seen = job.matrix[:, :3] @ corners + job.matrix[:, 3:]
    spans = []
    for row, size in enumerate(shape[:3]):
        axis = job.axes[row]
        low, high = seen[row].min(), seen[row].max()
        if axis is not None:
            low, high = np.searchsorted(axis, [low, high]) - 1.0
        start = int(np.clip(np.floor(low) - 1, 0, max(size - 3, 0)))
        stop = int(np.clip(np.floor(high) + 3, min(start + 3, size), size))
        spans.append(slice(start, stop))
    return spans[0], spans[1], spans[2]


def _block(full: npt.NDArray[Any], part: list[Vector], job: Job, start: tuple[int, ...]) -> Any:
    """Resample one block from a window of the source; the kernel runs on one thread, dask has the others."""
    matrix = job.matrix.copy()
    axes = list(job.axes)
    for row, (axis, first) in enumerate(zip(axes, start, strict=True)):
        if axis is None:
            matrix[row, 3] -= first
        else:
            axes[row] = axis[first : first + full.shape[row]]
    return _eager(full, part, replace(job, matrix=matrix, axes=tuple(axes)), threads=1)
