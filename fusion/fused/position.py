"""The variance that an uncertain pose gives to values on a grid, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.grids._slab_kernels import in_slabs
from fusion.grids.cells import Cells, Span
from fusion.grids.geometry import Geometry
from fusion.grids.mesh import Mesh, meshed
from fusion.grids.shares import sampling
from fusion.warp import Transform, Warp

Array = npt.NDArray[Any]
_CLOSE: Final = 0.05
"""Share of a variance by which it may be off between the nodes of a mesh."""
REACH: Final = 1.96
"""Standard deviations of the position, and standard errors of the value, that hold 95 %."""


@dataclass(frozen=True)
class Position:
    """How to read the variance of position of a source (z, y, x, channel); see `fusion.resampling.blocks.Reader`.

    The first half of the channels are values, the second half their variances; or all are values.

    Attributes
    ----------
    geometry : Geometry
    spread : array (12, 12), or Mesh
        Covariance of the matrix that leads from the grid to the source, row by row; under a warp that of where points
        of the grid lie in the source, 9 numbers in um².
    warp : Warp or None
        Leads from the source to the grid, and knows where it is vouched for.
    offsets : array (s, 3)
        Points in a voxel, in um from its middle, over which a value is a mean.
    noisy : bool
        Whether the second half of the channels are variances.
    """

    geometry: Geometry
    spread: Array | Mesh
    warp: Warp | None
    offsets: Array
    noisy: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the grid."""
        return self.geometry.target.shape

    def for_variances(self) -> Position:
        """Return itself: it reads variances already."""
        return self

    def dtypes(self, source: Any) -> tuple[Any, Any]:
        """Return the dtypes of values and of coverage."""
        return np.float64, np.uint8

    def window(self, span: Span, shape: tuple[int, ...]) -> Span:
        """Return all of the source: a position may be anywhere."""
        return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])

    def read(self, full: Array, span: Span, window: Span) -> tuple[Array, Array]:
        """Return variances of a box of the grid, on one thread; the coverage is a dummy."""
        part = replace(self, geometry=self.geometry.part(span, window))
        variances, coverage = part._filled(full, threads=1)
        # a block has as many channels as its source
        padding = np.zeros((*variances.shape[:3], full.shape[3] - variances.shape[3]))
        return np.concatenate([variances, padding], axis=-1), coverage

    def read_all(self, full: Array) -> tuple[Array, Array]:
        """Return variances on the grid; the coverage is a dummy."""
        return self._filled(full, threads=None)

    def _filled(self, full: Array, threads: int | None) -> tuple[Array, Array]:
        from fusion.fused import _position_kernels as kernels

        k = full.shape[3] // 2 if self.noisy else full.shape[3]
        values = _frozen(full[..., :k].astype(np.float64))
        noise = _frozen(full[..., k:].astype(np.float64) if len(self.offsets) == 1 else np.empty((0, 0, 0, 0)))
        source = values, noise, tuple(map(_frozen, self.geometry.source.middles))
        uncertain = [n > 1 for n in self.geometry.source.shape]
        nodes, weights = _rule(uncertain)
        near = ((nodes**2).sum(axis=1) <= REACH**2 * (1 + 1e-9)).astype(float)
        rule = *map(_frozen, (nodes, weights, near)), _frozen(self.offsets @ self.geometry.matrix[:, :3].T)
        out = np.full((*self.shape, k), np.nan)

        def work(z0: int, z1: int, y0: int, y1: int) -> None:
            slab = slice(z0, z1), slice(y0, y1), slice(0, self.shape[2])
            if not self.geometry.meets(slab):
                return
            seen, spread, meets = self._near(slab)
            variances = np.empty((len(seen), k))
            scratch = np.empty(3), np.empty(3), np.empty(3), np.empty((7, k)), np.empty(3, np.int64)
            kernels.position_variance(source, seen, _roots(spread, uncertain), rule, REACH, variances, scratch)
            out[slab][meets] = variances

        in_slabs(work, out.shape, threads)
        return out, np.ones(self.shape, np.uint8)

    def _near(self, slab: Span) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
        """Return where the voxels of a slab that meet the source lie in it (n, 3), how surely, and which they are."""
        cells = self.geometry.target.part(slab)
        halves = np.array([np.diff(axis).max() / 2 for axis in self.geometry.target.edges])
        seen = replace(self.geometry, target=cells).seen()
        meets = np.asarray(np.isfinite(seen).all(axis=0))
        for at, axis, beyond in zip(seen, self.geometry.source.edges, self.geometry.stretch @ halves, strict=True):
            meets &= (at >= axis[0] - beyond) & (at <= axis[-1] + beyond)
        spread = self._spread_of(cells)
        if self.warp is not None:
            # beyond its landmarks nothing vouches for a warp, and the error is not known
            meets &= np.isfinite(spread).all(axis=(1, 2))
            meets[meets] = self.warp.within(seen[:, meets].T)
        return np.ascontiguousarray(seen[:, meets].T), spread[meets], meets.reshape(cells.shape)

    def _spread_of(self, cells: Cells) -> Array:
        """Return the covariances (n, 3, 3), in um², of where the middles of cells lie in the source."""
        middles = [(axis[1:] + axis[:-1]) / 2 for axis in cells.edges]
        if isinstance(self.spread, Mesh):
            return self.spread.at(middles).reshape(-1, 3, 3)
        return _affine_spread(self.spread, np.meshgrid(*middles, indexing="ij"))


def position(placed: Geometry, transform: Transform, *, noisy: bool) -> Position:
    """Return how the variance is read that the covariance of a transform gives to values of a map."""
    where = sampling(placed)
    # a mean over a coarse voxel moves with it: points a pixel apart tell how
    count = [max(1, -(-n // 4)) for n in where.count]
    axes = [w * np.diff(e).max() * ((np.arange(n) + 0.5) / n - 0.5)
            for n, w, e in zip(count, where.width, placed.target.edges, strict=True)]  # fmt: skip
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    # The covariance wanted is of where a voxel lies in the map, hence of the inverse transform; its widening makes 1.96
    # standard errors of it hold as much as Student's t with the degrees of freedom of the fit.
    factor = transform.widening**2
    if isinstance(transform, Warp):
        return Position(placed, _warp_spread(placed, transform.inverse(), factor), transform, offsets, noisy)
    return Position(placed, factor * np.asarray(transform.inverse().covariance), None, offsets, noisy)


def _warp_spread(placed: Geometry, back: Warp, factor: float) -> Mesh:
    """Return the covariances, 9 numbers in um², of where points of the grid lie in the source, good to 5 %."""

    def spread(points: Array) -> Array:
        return factor * back.covariance_at(points, outside=True).reshape(*points.shape[:-1], 9)

    def off(guessed: Array, exact: Array) -> float:
        largest = np.abs(exact).max(axis=-1, keepdims=True)
        return float(np.nanmax(np.abs(guessed - exact) / largest / _CLOSE, initial=0.0))

    return meshed(spread, placed.target, off)


def _rule(uncertain: list[bool]) -> tuple[Array, Array]:
    """Return nodes (q, 3) and weights of a Gauss-Hermite rule for a standard normal, 5 nodes an axis, 3 for volumes.

    Before them stands the middle, behind them points at `REACH` in all directions, both with weight 0.
    """
    # Gauss-Hermite for weight exp(-t²/2), scaled to a sum of 1: n nodes are exact for polynomials of degree 2 n - 1 in
    # the displacement. Squares of differences of linear interpolants are piecewise of degree 2; 5 nodes see a kink.
    nodes, weights = np.polynomial.hermite_e.hermegauss(3 if all(uncertain) else 5)
    axes = [list(zip(nodes, weights / weights.sum(), strict=True)) if one else [(0.0, 1.0)] for one in uncertain]
    points = list(product(*axes))
    rule = [[n for n, _ in point] for point in points], [np.prod([w for _, w in point]) for point in points]
    rim = _rim(uncertain)
    return np.concatenate([np.zeros((1, 3)), rule[0], rim]), np.concatenate([[0.0], rule[1], np.zeros(len(rim))])


# A straight edge lies within 1.96 standard deviations, along its normal, of 95 % of the positions. The nodes of the
# rule reach less far, 1.4 to 1.9 of them as the normal turns, so that an edge is looked for in 16 directions of a plane
# (26 of space) at 1.96: along any normal at least 1.9 of them (1.7 in space).
def _rim(uncertain: list[bool]) -> Array:
    """Return points (n, 3) at a distance of `REACH` in all directions that are uncertain."""
    steps = 1 if all(uncertain) else 2
    grid = np.array(list(product(*(range(-steps, steps + 1) if one else (0,) for one in uncertain))), dtype=float)
    rim = grid[np.abs(grid).max(axis=1) == steps]
    return np.asarray(REACH * rim / np.linalg.norm(rim, axis=1, keepdims=True))


# Where a voxel v = (z, y, x, 1) lies in the source is M v, with errors of the twelve entries of M: covariance of rows i
# and j is Σ_ab v_a v_b C[i a, j b]. Term by term and not by a matrix product, whose rounding could depend on how many
# voxels there are.
def _affine_spread(covariance: Array, middles: Sequence[Array]) -> Array:
    """Return the covariances (n, 3, 3), in um², of where points z, y, x of the grid lie in the source."""
    of, voxels = covariance.reshape(3, 4, 3, 4), [*(axis.ravel() for axis in middles), np.ones(middles[0].size)]
    spread = np.empty((middles[0].size, 3, 3))
    for i, j in product(range(3), repeat=2):
        terms = (of[i, a, j, b] * voxels[a] * voxels[b] for a, b in product(range(4), repeat=2))
        spread[:, i, j] = sum(terms, np.zeros(1))
    return spread


def _roots(spread: Array, uncertain: list[bool]) -> Array:
    """Return the Cholesky factors (n, 3, 3), in um, of covariances; an axis of a single pixel is left out."""
    roots = np.zeros(spread.shape)
    for i, j in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)):
        if not (uncertain[i] and uncertain[j]):
            continue
        rest = spread[:, i, j]
        for c in range(j):
            rest = rest - roots[:, i, c] * roots[:, j, c]
        if i == j:
            roots[:, i, i] = np.sqrt(np.maximum(rest, 0.0))
        else:
            np.divide(rest, roots[:, j, j], out=roots[:, i, j], where=roots[:, j, j] > 0)
    return roots


def _frozen(array: Array) -> Array:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
