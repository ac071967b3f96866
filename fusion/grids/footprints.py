"""Shares between two even grids in a general pose, by a table of the footprint of one pixel; sums are exact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.grids.geometry import Geometry, Lattice
from fusion.grids.groups import overlap_rows

Array = npt.NDArray[Any]
NODES: Final = 20
"""Nodes of the table along each side of a cell."""
LARGEST: Final = 1 << 22
"""Numbers in a table; where pixels are many cells wide, exact overlaps are as quick."""


@dataclass(frozen=True)
class Table:
    """The shares of a pixel in the cells around it, at nodes within a cell.

    Attributes
    ----------
    shares : array
        Flat, (n + 1)³ nodes by cells, a multiple of `LANES` of them.
    low, box : arrays (3,)
        The least offset of a cell in the box, and the cells of the box along z, y, x.
    """

    shares: Array
    low: Array
    box: Array


def boxes(lattice: Lattice) -> tuple[Array, Array]:
    """Return the least offset, and the shape, of a box of cells that holds a pixel wherever it lies in a cell."""
    # The corners of a mapped pixel lie at ½ (±a ± b ± c) about its middle, which lies in [0, 1] of its cell.
    reach = np.abs(lattice.matrix[:, :3]).sum(axis=1) / 2
    low = np.floor(-reach).astype(np.int64)
    return low, np.ceil(1.0 + reach).astype(np.int64) - low


def fits(lattice: Lattice) -> bool:
    """Return whether the table of a lattice is small enough to be made."""
    return (NODES + 1) ** 3 * int(np.prod(boxes(lattice)[1])) <= LARGEST


def table(lattice: Lattice) -> Table:
    """Return the table of the shares of a pixel; made once for a pose."""
    return _table(lattice.matrix[:, :3].tobytes())


# The overlap of a pixel with a cell is a function of one offset alone, a box spline. It is computed exactly at the
# nodes and interpolated between them: against exact overlaps the error of a placed count is less than a thousandth
# (rms) of the counts in a voxel, far below the noise of counts; nearest nodes would be twenty times worse.
@lru_cache(maxsize=4)
def _table(matrix: bytes) -> Table:
    from fusion.grids._footprint_kernels import LANES

    step = np.frombuffer(matrix).reshape(3, 3)
    low, box = boxes(Lattice(np.column_stack([step, np.zeros(3)])))
    edges = [np.arange(n + 1.0) + first for n, first in zip(box, low, strict=True)]
    nodes = np.arange(NODES + 1) / NODES
    seen = np.stack([axis.ravel() for axis in np.meshgrid(nodes, nodes, nodes, indexing="ij")], axis=1)
    corners = np.array(list(product((-0.5, 0.5), repeat=3))) @ step.T
    shares = overlap_rows(edges, seen[:, None] + corners)[0].toarray()
    shares /= shares.sum(axis=1, keepdims=True)
    padded = np.zeros((len(shares), -(-shares.shape[1] // LANES) * LANES))
    padded[:, : shares.shape[1]] = shares
    return Table(padded.ravel(), low, box)


@dataclass(frozen=True)
class Footprints:
    """The operator between two even grids; it does what most ask of `fusion.grids.shares.Shares`.

    C (cell by pixel) is the share of a pixel in a cell. Its columns add up to 1 within the grid.

    Attributes
    ----------
    geometry : Geometry
    back : bool
        From the cells of the target to the pixels of the source.
    """

    geometry: Geometry
    back: bool = False

    def turned(self) -> Footprints:
        """Return the operator the other way."""
        return replace(self, back=not self.back)

    @property
    def _lattice(self) -> Lattice:
        assert self.geometry.lattice is not None
        return self.geometry.lattice

    @property
    def _pixel(self) -> float:
        """Volume of a pixel in cells."""
        return abs(float(np.linalg.det(self._lattice.matrix[:, :3])))

    @cached_property
    def coverage(self) -> Array:
        """Share (z, y, x) of each cell that is written that lies in what is read."""
        shape = (*(self.geometry.target if self.back else self.geometry.source).shape, 0)
        return self._covered(self._applied(np.empty(shape), squared=False)[1])

    # A sum of interpolated shares is off by some thousandths; a cell whose corners all lie in the source is covered.
    def _covered(self, seen: Array) -> Array:
        if self.back:
            return np.where(np.abs(seen - 1.0) < 1e-9, 1.0, np.minimum(seen, 1.0))
        return np.where(self.geometry.inner(), 1.0, np.minimum(seen * self._pixel, 1.0))

    def placed_and_covered(self, counts: Array, *, squared: bool = False) -> tuple[Array, Array]:
        """Return counts in the cells, variances if `squared`, and the coverage."""
        placed, seen = self._applied(counts, squared)
        return placed, self._covered(seen)

    def mean(self, values: Array, *, squared: bool = False) -> Array:
        """Return means over what each cell covers; variances if `squared`, NaN where nothing."""
        # Σ w v / Σ w over the tabled weights: a constant stays one to rounding, whatever the table says.
        sums, seen = self._applied(values, squared)
        means: Array = sums / (seen**2 if squared else seen)[..., None]
        means[seen == 0] = np.nan
        return means

    def _applied(self, values: Array, squared: bool) -> tuple[Array, Array]:
        """Return C values, or Cᵀ values on the way back, and the sums of shares."""
        from fusion.grids._footprint_kernels import spread

        source, target = self.geometry.source, self.geometry.target
        written, known = (source if self.back else target), np.ascontiguousarray(values, dtype=float)
        out, seen = np.zeros((*written.shape, values.shape[3])), np.zeros(written.shape)
        pixels, cells = (out, known) if self.back else (known, out)
        tabled = table(self._lattice)
        width = tabled.shares.size // (NODES + 1) ** 3
        scratch = (*(np.empty(3, dtype) for dtype in (float, np.int64, np.int64, float)), np.empty(width))
        tables = tabled.shares, NODES, tabled.low, tabled.box, self._lattice.matrix, scratch
        spread(pixels, cells, seen, (source.start, target.start), tables, 2 if squared else 1, self.back)
        return out, seen
