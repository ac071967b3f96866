"""Reading at the centres of voxels: linear interpolation or the nearest pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import SPATIAL, spacing
from fusion.grids.cells import Cells, Span, Vector
from fusion.grids.geometry import Geometry

Array = npt.NDArray[Any]
OUTSIDE: Final = -1


@dataclass(frozen=True)
class Points:
    """How to read a source (z, y, x, channel) at the centres of a grid.

    Attributes
    ----------
    target : Cells
        The grid.
    matrix : array (3, 4)
        Maps grid coordinates to pixel indices, or to coordinates along the axes that `axes` gives.
    axes : three vectors or None
        Pixel centres of each uneven axis.
    half : three floats
        Half-thickness of axes with one pixel.
    method : {"linear", "nearest"}
    squared : bool
        Interpolate variances: the weights are squared.
    rim : float
        Pixels by which the source goes on beyond its outermost centres.
    """

    target: Cells
    matrix: Vector
    axes: tuple[Vector | None, ...]
    half: tuple[float, float, float]
    method: Literal["linear", "nearest"]
    squared: bool = False
    rim: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the grid."""
        return self.target.shape

    def for_variances(self) -> Points:
        """Return the reader of variances, with the weights squared; those of one pixel are 1."""
        return replace(self, squared=self.method == "linear")

    def dtypes(self, source: Any) -> tuple[Any, Any]:
        """Return the dtypes of values and of coverage."""
        return source, np.uint8

    # An affine takes a box to a parallelepiped, whose bounding box is that of its eight corners. One pixel is added on
    # each side for the neighbour that interpolation reads, and one more against rounding.
    def window(self, span: Span, shape: tuple[int, ...]) -> Span:
        """Return the pixels of the source that a box of the grid can see, at least two along an axis that has two."""
        ends = ([axis[s].min(), axis[s].max()] for axis, s in zip(self.target.middles, span, strict=True))
        corners = np.stack(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
        return self.seen(self.matrix[:, :3] @ corners + self.matrix[:, 3:], shape)

    def seen(self, indices: Array, shape: tuple[int, ...]) -> Span:
        """Return the pixels of the source that points with pixel indices (3, n) lie between."""
        spans = []
        for row, size in enumerate(shape[:3]):
            axis, seen = self.axes[row], indices[row]
            low, high = seen.min(initial=size), seen.max(initial=0.0)
            if axis is not None:
                low, high = np.searchsorted(axis, [low, high]) - 1.0
            start = int(np.clip(np.floor(low) - 1, 0, max(size - 3, 0)))
            stop = int(np.clip(np.floor(high) + 3, min(start + 3, size), size))
            spans.append(slice(start, stop))
        return spans[0], spans[1], spans[2]

    def read(self, full: Array, span: Span, window: Span) -> tuple[Array, Array]:
        """Return values and coverage of a box of the grid from a window of the source, on one thread."""
        matrix, axes = self.matrix.copy(), list(self.axes)
        for row, (axis, seen) in enumerate(zip(axes, window, strict=True)):
            if axis is None:
                matrix[row, 3] -= seen.start
            else:
                axes[row] = axis[seen.start : seen.start + full.shape[row]]
        part = replace(self, target=self.target.part(span), matrix=matrix, axes=tuple(axes))
        return part.read_all(full, threads=1)

    def read_all(self, full: Array, *, threads: int | None = None) -> tuple[Array, Array]:
        """Return values (z, y, x, channel) and coverage (z, y, x) on the grid."""
        from fusion.resampling import _kernels

        out = np.empty((*self.shape, full.shape[3]), dtype=full.dtype)
        inside = np.empty(self.shape, dtype=np.uint8)
        options: dict[str, Any] = {"axes": self.axes, "half": self.half, "threads": threads}
        kernel: Callable[..., None] = _kernels.linear
        if self.method == "nearest":
            kernel, options["fill"] = _kernels.nearest, np.nan if full.dtype.kind == "f" else OUTSIDE
        else:
            options |= {"squared": self.squared, "rim": self.rim}
        kernel(np.ascontiguousarray(full), self.matrix, self.target.middles, out, inside, **options)
        return out, inside


def points(ds: xr.Dataset, geometry: Geometry, method: Literal["linear", "nearest"], *, rim: float = 0.0) -> Points:
    """Fold the pixel grid of a dataset into the matrix that leads from grid coordinates to source pixels."""
    matrix = geometry.matrix.copy()
    axes: list[Vector | None] = [None, None, None]
    half = [0.5, 0.5, 0.5]
    for row, (dim, values) in enumerate(zip(SPATIAL, geometry.source.middles, strict=True)):
        if values.size == 1:
            matrix[row, 3] -= values[0]
            half[row] = geometry.widths[row] / 2
        elif (step := spacing(ds[dim])) is not None:
            matrix[row, 3] -= values[0]
            matrix[row] /= step
        else:
            axes[row] = values
    return Points(geometry.target, matrix, tuple(axes), (half[0], half[1], half[2]), method, rim=rim)
