"""Reading over voxels: counts by shares, means over the voxel, the label of the largest share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fusion.grids import shares
from fusion.grids._slab_kernels import in_slabs
from fusion.grids.cells import Span
from fusion.grids.geometry import Geometry

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
        """Return values and coverage of a box of the grid from a window of the source, on one thread."""
        if not self.geometry.meets(span):
            return self._nothing(full, span)
        return self._read(full, span, window, threads=1)

    def _nothing(self, full: Array, span: Span) -> tuple[Array, Array]:
        """Return a box of the grid that the source does not touch."""
        shape = tuple(s.stop - s.start for s in span)
        missing = self.outside if self.rule == "label" else np.nan
        return np.full((*shape, full.shape[3]), missing, self.dtypes(full.dtype)[0]), np.zeros(shape)

    def _read(self, full: Array, span: Span, window: Span, threads: int | None) -> tuple[Array, Array]:
        part = self.geometry.part(span, window)
        if self.rule == "counts":
            values, coverage = shares.overlaps(part, threads=threads).placed_and_covered(full, squared=self.squared)
        elif self.sampling:
            operator = shares.means(part, self.sampling, threads=threads)
            values, coverage = operator.mean(full, squared=self.squared), operator.coverage
        else:
            exact = shares.exact(part, threads=threads)
            labels, share = exact.majority(full, self.outside)
            return (labels if self.rule == "label" else share.astype(np.float32)), exact.coverage
        values = values.astype(full.dtype, copy=False)
        if not (covered := coverage > 0).all():
            values[~covered] = np.nan
        return values, coverage

    # The rows of aligned grids are few and built once; those of others fill a slab at a time.
    def read_all(self, full: Array) -> tuple[Array, Array]:
        """Return values (z, y, x, channel) and coverage (z, y, x) on the grid, in threads."""
        if self.geometry.separable:
            return self._read(full, _everything(self.shape), _everything(full.shape), threads=None)
        out, coverage = np.empty((*self.shape, full.shape[3]), self.dtypes(full.dtype)[0]), np.empty(self.shape)

        def work(z0: int, z1: int, y0: int, y1: int) -> None:
            span = slice(z0, z1), slice(y0, y1), slice(0, self.shape[2])
            window = self.window(span, full.shape)
            out[z0:z1, y0:y1], coverage[z0:z1, y0:y1] = self.read(full[window], span, window)

        # in_slabs counts values; an operator weighs as much as some sixteen of them for each voxel
        in_slabs(work, (*self.shape, 16))
        return out, coverage


def _everything(shape: tuple[int, ...]) -> Span:
    return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])
