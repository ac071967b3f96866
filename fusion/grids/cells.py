"""The cells of one grid: boxes between edges along z, y and x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import SPATIAL
from fusion.display import edges

Vector = npt.NDArray[np.float64]
Axes = tuple[int, ...]
Span = tuple[slice, slice, slice]
"""A box of a grid, as indices along z, y and x."""


@dataclass(frozen=True)
class Cells:
    """The boxes of a grid: their middles along z, y, x in um, and the edges between them.

    A grid without an axis is one cell there. The edges of a plane that has no thickness are its position, twice. A part
    of a grid knows the index of its first cell in it.
    """

    middles: tuple[Vector, Vector, Vector]
    edges: tuple[Vector, Vector, Vector]
    start: tuple[int, int, int] = (0, 0, 0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the number of cells along z, y and x."""
        return self.middles[0].size, self.middles[1].size, self.middles[2].size

    def along(self, axes: Sequence[int]) -> tuple[Vector, Vector]:
        """Return middles and half-widths (d, n) of the cells of some axes, the last axis fastest."""
        middles = np.meshgrid(*((self.edges[a][1:] + self.edges[a][:-1]) / 2 for a in axes), indexing="ij")
        halves = np.meshgrid(*(np.diff(self.edges[a]) / 2 for a in axes), indexing="ij")
        return np.stack([m.ravel() for m in middles]), np.stack([h.ravel() for h in halves])

    def measure(self, axes: Sequence[int]) -> Vector:
        """Return length, area or volume of the cells of some axes, the last axis fastest."""
        return np.asarray(np.prod(2 * self.along(axes)[1], axis=0))

    def part(self, span: Span) -> Cells:
        """Return the cells of a box of the grid."""
        edges = (axis[s.start : s.stop + 1] for axis, s in zip(self.edges, span, strict=True))
        middles = (axis[s] for axis, s in zip(self.middles, span, strict=True))
        z, y, x = (first + s.start for first, s in zip(self.start, span, strict=True))
        return Cells(tuple(middles), tuple(edges), (z, y, x))  # type: ignore[arg-type]


def cells_of(ds: xr.Dataset, widths: Mapping[str, float] = MappingProxyType({})) -> Cells:
    """Return the cells of the grid of a dataset; `widths` are those of its single pixels, 0 where left out."""
    middles = [np.atleast_1d(np.asarray(ds[d].values, dtype=float)) if d in ds.coords else np.zeros(1) for d in SPATIAL]
    boundaries = [edges(m, width=widths.get(d, 0.0)) for d, m in zip(SPATIAL, middles, strict=True)]
    return Cells((middles[0], middles[1], middles[2]), (boundaries[0], boundaries[1], boundaries[2]))
