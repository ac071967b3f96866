"""Reading at the centres of voxels through a warp, which is computed at the nodes of a mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.grids.cells import Span
from fusion.grids.geometry import Geometry
from fusion.grids.mesh import Mesh
from fusion.resampling.points import OUTSIDE, Points, points

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Warped:
    """How to read a source (z, y, x, channel) at the centres of a grid through a warp.

    Attributes
    ----------
    straight : Points
        The grid and the axes of the source; its matrix leads from um to pixel indices there.
    mesh : Mesh
        The pixel indices that points of the grid belong to, or coordinates on uneven axes; NaN where the warp has no
        inverse.
    """

    straight: Points
    mesh: Mesh

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the grid."""
        return self.straight.shape

    def for_variances(self) -> Warped:
        """Return the reader of variances, with the weights squared; those of one pixel are 1."""
        return replace(self, straight=self.straight.for_variances())

    def dtypes(self, source: Any) -> tuple[Any, Any]:
        """Return the dtypes of values and of coverage."""
        return self.straight.dtypes(source)

    def window(self, span: Span, shape: tuple[int, ...]) -> Span:
        """Return the pixels that a box of the grid can see: a trilinear position lies between those of its nodes."""
        ends = [(axis[s].min(), axis[s].max()) for axis, s in zip(self.straight.target.middles, span, strict=True)]
        return self.straight.seen(self.mesh.around(ends).T, shape)

    def read(self, full: Array, span: Span, window: Span) -> tuple[Array, Array]:
        """Return values and coverage of a box of the grid from a window of the source, on one thread."""
        # indices count from the first pixel of the window
        moved, axes = self.mesh.values.copy(), list(self.straight.axes)
        for row, (axis, seen) in enumerate(zip(axes, window, strict=True)):
            if axis is None:
                moved[..., row] -= seen.start
            else:
                axes[row] = axis[seen.start : seen.start + full.shape[row]]
        part = replace(self.straight, target=self.straight.target.part(span), axes=tuple(axes))
        return replace(self, straight=part, mesh=Mesh(self.mesh.knots, moved)).read_all(full, threads=1)

    def read_all(self, full: Array, *, threads: int | None = None) -> tuple[Array, Array]:
        """Return values (z, y, x, channel) and coverage (z, y, x) on the grid."""
        from fusion.resampling import _warp_kernels as kernels

        straight = self.straight
        out = np.empty((*self.shape, full.shape[3]), dtype=full.dtype)
        inside = np.empty(self.shape, dtype=np.uint8)
        mesh, grid = (self.mesh.knots, self.mesh.values), straight.target.middles
        options: dict[str, Any] = {"axes": straight.axes, "half": straight.half, "threads": threads}
        if straight.method == "nearest":
            fill = np.nan if full.dtype.kind == "f" else OUTSIDE
            kernels.nearest(np.ascontiguousarray(full), mesh, grid, out, inside, fill=fill, **options)
        else:
            options |= {"squared": straight.squared, "rim": straight.rim}
            kernels.linear(np.ascontiguousarray(full), mesh, grid, out, inside, **options)
        return out, inside


def warped(ds: xr.Dataset, geometry: Geometry, method: Literal["linear", "nearest"], *, rim: float = 0.0) -> Warped:
    """Return how a dataset is read at the centres of a grid through the warp of a geometry."""
    assert geometry.mesh is not None
    straight = points(ds, replace(geometry, matrix=np.eye(4)[:3]), method, rim=rim)
    matrix, mesh = straight.matrix, geometry.mesh
    return Warped(straight, Mesh(mesh.knots, mesh.values @ matrix[:, :3].T + matrix[:, 3]))
