"""Reading over voxels: counts by shares, means over the voxel, the label of the largest share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fusion.resampling import shares
from fusion.resampling.cells import Geometry, Span

Array = npt.NDArray[Any]
Rule = Literal["counts", "mean", "label", "share"]


@dataclass(frozen=True)
class Boxes:
    """How to read a source (z, y, x, channel) over the voxels of a grid.

    Attributes
    ----------
    geometry : Geometry
    rule : {"counts", "mean", "label", "share"}
        Counts placed, means, the label of the largest share, or that share.
    outside : int
        The label of voxels that nothing covers.
    squared : bool
        The values are variances: the weights are squared.
    sampling : Sampling
        Where the interpolant is read in a voxel for the mean over it; None for the other rules.
    """

    geometry: Geometry
    rule: Rule
    outside: int = -1
    squared: bool = False
    sampling: shares.Sampling | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the grid."""
        return self.geometry.target.shape

    def for_variances(self) -> Boxes:
        """Return the reader of variances, with the weights squared."""
        return replace(self, squared=True)

    def dtypes(self, source: Any) -> tuple[Any, Any]:
        """Return the dtypes of values and of coverage."""
        return (np.float32 if self.rule == "share" else source), np.float64

    def window(self, span: Span, shape: tuple[int, ...]) -> Span:
        """Return the pixels of the source that a box of the grid can see, with their neighbours."""
        return self.geometry.window(span)

    def read(self, full: Array, span: Span, window: Span) -> tuple[Array, Array]:
        """Return values and coverage of a box of the grid from a window of the source."""
        part = self.geometry.part(span, window)
        operator = shares.means(part, self.sampling) if self.sampling else shares.overlaps(part)
        coverage = operator.coverage
        if self.rule in ("label", "share"):
            labels, share = operator.majority(full, self.outside)
            return (labels, coverage) if self.rule == "label" else (share.astype(np.float32), coverage)
        reader = operator.mean if self.rule == "mean" else operator.placed
        values = reader(full, squared=self.squared).astype(full.dtype, copy=False)
        values[coverage == 0] = np.nan
        return values, coverage

    def read_all(self, full: Array) -> tuple[Array, Array]:
        """Return values (z, y, x, channel) and coverage (z, y, x) on the grid, slab by slab in threads."""
        from fusion.resampling._kernels import in_slabs

        out, coverage = np.empty((*self.shape, full.shape[3]), self.dtypes(full.dtype)[0]), np.empty(self.shape)

        def work(z0: int, z1: int, y0: int, y1: int) -> None:
            span = slice(z0, z1), slice(y0, y1), slice(0, self.shape[2])
            window = self.window(span, full.shape)
            out[z0:z1, y0:y1], coverage[z0:z1, y0:y1] = self.read(full[window], span, window)

        # in_slabs counts values; an operator weighs as much as some sixteen of them for each voxel
        in_slabs(work, (*self.shape, 16))
        return out, coverage
