"""Two grids and how one lies in the other: what resampling, placing and projecting start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine
from fusion.conventions import SPATIAL, title
from fusion.errors import DataError
from fusion.grids.cells import Axes, Cells, Span, Vector, cells_of
from fusion.grids.mesh import Mesh, meshed
from fusion.warp import Bend, Transform, Warp

_SLAB = 1 << 17
"""Voxels of a general pose whose operator is built at a time."""

_FEW = 20_000
"""Voxels below which exact overlaps cost no more than a table."""

_CLOSE = 0.01
"""Pixels by which a position between the nodes of a mesh may be off."""


@dataclass(frozen=True)
class Lattice:
    """Two even grids as one matrix (3, 4): from the index of a pixel to the index of the cell that holds its middle.

    Indices of cells are integers at their lower corners, so that the middle of cell 0 is at 0.5.
    """

    matrix: Vector


@dataclass(frozen=True)
class Geometry:
    """Two grids and how one lies in the other.

    Attributes
    ----------
    source, target : Cells
        The pixels that are read and the voxels that are written.
    matrix : array (3, 4)
        Maps coordinates of the target to coordinates of the source, in um; of a warp, as it does near the middle of
        the source.
    widths : (float, float, float)
        Extent in um of a source that is a single cell along an axis, infinite for the depth of a projection; NaN for
        an axis of several cells.
    groups : pairs of axes
        Axes of the source and those of the target that the pose mixes with each other.
    lattice : Lattice or None
        How the whole grids lie to each other, where both are even.
    mesh : Mesh or None
        Where points of the target lie in the source under a warp, in um; None where `matrix` says it exactly.
    """

    source: Cells
    target: Cells
    matrix: Vector
    widths: tuple[float, float, float]
    groups: tuple[tuple[Axes, Axes], ...]
    lattice: Lattice | None = None
    mesh: Mesh | None = None

    @property
    def flat(self) -> bool:
        """Return whether both are planes and z plays no part."""
        return bool(np.isinf(self.widths[0])) and self.target.edges[0][0] == self.target.edges[0][-1]

    @property
    def separable(self) -> bool:
        """Return whether the pose leaves all axes apart."""
        return len(self.groups) == 3

    @property
    def solid(self) -> bool:
        """Return whether the cells of both have a volume, or an area between two planes."""
        thick = [float(np.ptp(axis)) > 0 for axis in self.target.edges]
        return (self.flat and all(thick[1:])) or (all(thick) and not np.isinf(self.widths[0]))

    @property
    def steps(self) -> float:
        """Return the largest width of a voxel in pixels, over the axes along which the source has pixels."""
        pixels = np.array([np.diff(axis).min() for axis in self.source.edges])
        voxels = np.array([np.diff(axis).max() for axis in self.target.edges])
        rows = [r for r in range(3) if self.source.shape[r] > 1]
        return float((self.stretch[rows] * voxels / pixels[rows, None]).max(initial=0.0))

    @property
    def stretch(self) -> Vector:
        """Return the largest derivative (3, 3) of each coordinate in the source by each in the target."""
        if self.mesh is None:
            return np.abs(self.matrix[:, :3])
        return np.stack([np.nanmax(np.abs(slope), axis=(0, 1, 2)) for slope in self.mesh.slopes()], axis=1)

    def slabs(self) -> list[Span]:
        """Return boxes of the target whose operators fit in some 20 MB: all of it, unless three axes are mixed."""
        nz, ny, nx = self.target.shape
        mixed = any(len(source) == 3 for source, _ in self.groups)
        deep = max(1, _SLAB // (ny * nx)) if mixed else nz
        return [(slice(z, min(z + deep, nz)), slice(0, ny), slice(0, nx)) for z in range(0, nz, deep)]

    def window(self, span: Span) -> Span:
        """Return the box of the source that a box of the target can see, with its neighbours."""
        # three pixels more on each side are for the neighbours that interpolation reads
        spans = []
        bounds = self.bounds(span)
        for row, size in enumerate(self.source.shape):
            if row == 0 and self.flat:
                spans.append(slice(0, 1))
                continue
            low, high = np.searchsorted(self.source.edges[row], bounds[row])
            start = int(np.clip(low - 3, 0, max(size - 3, 0)))
            spans.append(slice(start, int(np.clip(high + 3, min(start + 3, size), size))))
        return spans[0], spans[1], spans[2]

    def meets(self, span: Span) -> bool:
        """Return whether a box of the target may touch the source: whether its bounding box there does."""
        ends = zip(self.bounds(span), self.source.edges, strict=True)
        return self.flat or all(low <= axis[-1] and high >= axis[0] for (low, high), axis in ends)

    # An affine image of a box is spanned by its eight corners, a trilinear one by its nodes: their extremes bound it.
    def bounds(self, span: Span | None = None) -> list[tuple[float, float]]:
        """Return the ends, along each axis of the source, of a box of the target, or of all of it."""
        box = (slice(0, n) for n in self.target.shape) if span is None else span
        ends = [axis[[s.start, s.stop]] for axis, s in zip(self.target.edges, box, strict=True)]
        if self.mesh is not None:
            seen = self.mesh.around([(low, high) for low, high in ends]).T
        else:
            corners = np.stack(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
            seen = self.matrix[:, :3] @ corners + self.matrix[:, 3:]
        return [(float(row.min(initial=np.inf)), float(row.max(initial=-np.inf))) for row in seen]

    # One number at a time and no matrix product, whose rounding could depend on how many points it is taken for.
    def at(self, axes: Sequence[Vector]) -> Vector:
        """Return where points at the crossings of coordinates z, y, x of the target lie in the source (z, y, x, 3)."""
        if self.mesh is not None:
            return self.mesh.at(axes)
        z, y, x = np.ix_(*axes)
        return np.stack([row[0] * z + row[1] * y + row[2] * x + row[3] for row in self.matrix], axis=-1)

    def seen(self) -> Vector:
        """Return where the middles of the cells of the target lie in the source (3, n)."""
        return self.at([(axis[1:] + axis[:-1]) / 2 for axis in self.target.edges]).reshape(-1, 3).T

    # A cell lies where its corners do: neighbours share them, so that the images of all cells fill space without gaps,
    # whatever the transform.
    def corners(self, source: Axes, target: Axes) -> Vector:
        """Return where the corners of the cells along some axes lie along axes of the source (n, 2 ** d, d), in um.

        Cells and corners are in order, the last axis fastest.
        """
        nodes = self.at([axis if a in target else axis[:1] for a, axis in enumerate(self.target.edges)])[..., source]
        nodes = nodes.reshape(*(self.target.edges[a].size for a in target), len(source))
        ends = product((slice(None, -1), slice(1, None)), repeat=len(target))
        return np.stack([nodes[end].reshape(-1, len(source)) for end in ends], axis=1)

    def inner(self) -> npt.NDArray[np.bool_]:
        """Return which cells (z, y, x) of the target lie within the source with all their corners."""
        # A box about the mapped cell lies in a box exactly where its eight corners do.
        _, halves = self.target.along((0, 1, 2))
        inside = np.ones(halves.shape[1], bool)
        for row, seen, axis in zip(self.matrix, self.seen(), self.source.edges, strict=True):
            reach = abs(row[0]) * halves[0] + abs(row[1]) * halves[1] + abs(row[2]) * halves[2]
            inside &= (seen - reach >= axis[0]) & (seen + reach <= axis[-1])
        return inside.reshape(self.target.shape)

    def require_unfolded(self) -> None:
        """Refuse a warp that folds the grid, or leads to a part of it from nowhere.

        Raises
        ------
        DataError
            Then cells there have no volume.
        """
        if self.mesh is None:
            return
        slopes = np.stack(self.mesh.slopes(), axis=-1)
        # across a plane of one node nothing is known, and the affine map stands for it
        for axis in (axis for axis, knots in enumerate(self.mesh.knots) if knots.size == 1):
            slopes[..., axis] = self.matrix[:, axis]
        same_way = np.linalg.det(np.nan_to_num(slopes)) * np.linalg.det(self.matrix[:, :3]) > 0
        if not (same_way.all() and np.isfinite(slopes).all()):
            raise DataError(
                "the warp folds the grid: several places of the map lead to one voxel, or none does; crop the grid to "
                "where the landmarks are (grid.sel), state larger errors of them (sigma=), or use method='linear'"
            )

    def part(self, span: Span, window: Span) -> Geometry:
        """Return the geometry of a box of the target and a box of the source."""
        return replace(self, source=self.source.part(window), target=self.target.part(span))


def geometry(ds: xr.Dataset, grid: xr.Dataset, transform: Transform, depth: float | None) -> Geometry:
    """Return the cells of a dataset and of a grid, and the pose between them.

    Parameters
    ----------
    ds, grid : Dataset
        In um.
    transform : Affine or Warp
        Maps coordinates of `ds` to coordinates of `grid`.
    depth : float or None
        Thickness in um of a `ds` without z or with one plane.
    """
    target = cells_of(grid)
    matrix = np.asarray(_straight(transform, ds).inverse().matrix[:3])
    widths = {dim: thickness(dim, ds, matrix[row], grid, depth) for row, dim in enumerate(SPATIAL) if _single(ds, dim)}
    if np.isinf(widths.get("z", 0.0)):
        # deep enough for all of the grid, and exactly 1 um where the grid is a plane too
        seen = matrix[:1, :3] @ _corners(target) + matrix[0, 3]
        finite = {**widths, "z": 2 * float(np.abs(seen - _position(ds, "z")).max()) + 1.0}
    else:
        finite = widths
    extents = widths.get("z", np.nan), widths.get("y", np.nan), widths.get("x", np.nan)
    placed = Geometry(cells_of(ds, finite), target, matrix, extents, ())
    if isinstance(transform, Warp):
        return replace(placed, groups=_bent_groups(transform), mesh=_mesh(placed, transform))
    placed = replace(placed, groups=_groups(placed))
    return replace(placed, lattice=_lattice(placed))


def _straight(transform: Transform, ds: xr.Dataset) -> Affine:
    """Return the transform, or the affine one that agrees with a warp in the middle of the dataset."""
    if isinstance(transform, Affine):
        return transform
    ends = [np.atleast_1d(ds[dim].values)[[0, -1]] if dim in ds.coords else np.zeros(2) for dim in SPATIAL]
    return transform.tangent([float(np.mean(axis)) for axis in ends])


def _mesh(placed: Geometry, warp: Warp) -> Mesh:
    """Return where the points of the target lie in the source, good to 0.01 of a pixel."""
    close = _CLOSE * np.array([np.diff(axis).min() for axis in placed.source.edges])
    if np.isinf(placed.widths[0]):
        close[0] = np.inf

    def off(guessed: Vector, exact: Vector) -> float:
        return float(np.nanmax(np.abs(exact - guessed) / close, initial=0.0))

    return meshed(warp.inverse(), placed.target, off)


def _bent_groups(warp: Warp) -> tuple[tuple[Axes, Axes], ...]:
    """Return the groups of axes of a warp: all of them, or z apart where no step mixes it with the others."""
    for step in warp.steps:
        mixes = (
            step.process.dim == 3 if isinstance(step, Bend) else step.matrix[0, 1:3].any() or step.matrix[1:3, 0].any()
        )
        if mixes:
            return (((0, 1, 2), (0, 1, 2)),)
    return ((0,), (0,)), ((1, 2), (1, 2))


# A map without z stands for a slab. Half its thickness must reach the nearest voxel centre on either side of the plane:
# that is half the longest projection of a voxel edge on the normal, n · step. The normal is the row of the matrix that
# leads to z of the map; 1e-9 keeps a centre that lies exactly halfway.
def thickness(dim: str, ds: xr.Dataset, normal: Vector, grid: xr.Dataset, depth: float | None) -> float:
    """Return the width in um of the only pixel along an axis: `depth`, or what the grid says about z.

    Raises
    ------
    DataError
        If nothing says it, or `depth` is not positive.
    """
    if depth is not None:
        if not depth > 0:
            raise DataError(f"depth is a positive thickness in um, or numpy.inf; received {depth!r}")
        return depth
    if dim != "z":
        raise DataError(f"{title(ds)}: one pixel along {dim} does not say how wide it is; give "
                        "depth= in um or use a larger map")  # fmt: skip
    if "z" not in grid.dims:
        return np.inf
    steps = [float(np.diff(grid[axis].values).max(initial=0.0)) if axis in grid.dims else 0.0 for axis in SPATIAL]
    if steps[0] == 0.0:
        raise DataError("the grid has a single plane, which does not say how thick it is; give depth= in um")
    return float(np.max(np.abs(normal[:3]) * steps)) * (1.0 + 1e-9)


def _single(ds: xr.Dataset, dim: str) -> bool:
    return dim not in ds.coords or np.size(ds[dim].values) == 1


def _position(ds: xr.Dataset, dim: str) -> float:
    return float(np.atleast_1d(ds[dim].values)[0]) if dim in ds.coords else 0.0


def _even(edges: Vector) -> tuple[float, float]:
    """Return where an even axis begins and its step."""
    return float(edges[0]), float(edges[-1] - edges[0]) / (edges.size - 1)


def _corners(cells: Cells) -> Vector:
    return np.stack(np.meshgrid(*(axis[[0, -1]] for axis in cells.edges), indexing="ij")).reshape(3, -1)


def _lattice(placed: Geometry) -> Lattice | None:
    """Return how two even grids lie to each other; None for uneven or small ones and where axes stay apart."""
    cells = placed.source, placed.target
    if max(len(source) for source, _ in placed.groups) < 3 or np.prod(placed.target.shape) < _FEW:
        return None
    widths = [[np.diff(axis) for axis in one.edges] for one in cells]
    if not all(w.min() > 0 and np.ptp(w) <= 1e-9 * w.max() * w.size for one in widths for w in one):
        return None
    (first, pixel), (origin, voxel) = (np.array([_even(axis) for axis in one.edges]).T for one in cells)
    # Pixel j has its middle at first + pixel (j + ½); the inverse of the pose takes that to the target, whose
    # cell of index i begins at origin + voxel i. Both steps in one matrix: i = A j + b.
    back = np.linalg.inv(placed.matrix[:, :3])
    offset = (back @ (first + pixel / 2 - placed.matrix[:, 3]) - origin) / voxel
    return Lattice(np.column_stack([back * pixel / voxel[:, None], offset]))


# Axis c of the target is mixed into axis r of the source if it moves the source position by more than a billionth of a
# pixel from one end of the grid to the other. What is left of 90 degrees after rounding does not count.
def _groups(placed: Geometry) -> tuple[tuple[Axes, Axes], ...]:
    pixels = np.array([np.diff(axis).min() for axis in placed.source.edges])
    extents = np.array([np.ptp(axis) or pixels.min() for axis in placed.target.edges])
    mixed = np.abs(placed.matrix[:, :3]) * extents > 1e-9 * pixels[:, None]
    if placed.flat:
        mixed[0], mixed[:, 0] = False, False
        mixed[0, 0] = True
    groups, left = [], {0, 1, 2}
    while left:
        rows, columns = {min(left)}, set[int]()
        for _ in range(3):
            columns = {c for c in range(3) if any(mixed[r, c] for r in rows)}
            rows |= {r for r in range(3) if any(mixed[r, c] for c in columns)}
        left -= rows
        groups.append((tuple(sorted(rows)), tuple(sorted(columns))))
    return tuple(sorted(groups, key=lambda group: _growth(placed, *group)))


def _growth(placed: Geometry, source: Axes, target: Axes) -> float:
    """Return how much larger an array becomes that is moved along some axes; those that shrink it go first."""
    sizes = [np.prod([one.shape[a] for a in axes]) for one, axes in ((placed.target, target), (placed.source, source))]
    return float(sizes[0] / sizes[1])
