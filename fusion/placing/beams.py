"""How voxels fall on the pixels of a projection, by their volume or by their centres, and the transpose of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import spacing
from fusion.errors import ConventionError
from fusion.grids import shares
from fusion.grids.cells import Span
from fusion.grids.geometry import Geometry, geometry
from fusion.warp import Transform

Method = Literal["shares", "linear", "nearest"]
Vector = npt.NDArray[np.float64]


class Beam(Protocol):
    """The weights A (voxel by pixel) of a projection along z of an image."""

    def shadow(self, values: npt.NDArray[Any]) -> Vector:
        """Return Aᵀ values: sums (y, x) of values (z, y, x)."""

    def lit(self, image: Vector, *, squared: bool = False) -> Vector:
        """Return A image: values (z, y, x, k) of an image (y, x, k); with the weights squared for variances."""


def beam(volume: xr.Dataset, grid: xr.Dataset, transform: Transform, method: Method, density: npt.NDArray[Any]) -> Beam:
    """Return the weights between the voxels of a volume and the pixels of an image, z of which is the beam.

    By centres only voxels that hold some of the density (z, y, x) get weights: most of a volume is empty.

    Raises
    ------
    ConventionError
        If there is no such method.
    """
    if method not in get_args(Method):
        raise ConventionError([f"method: {method!r} where {' or '.join(map(repr, get_args(Method)))} is expected"])
    if method == "shares":
        columns = geometry(grid, volume, transform, np.inf)
        columns.require_unfolded()
        return Columns(columns)
    return _rays(volume, grid, transform, method, np.flatnonzero(density))


@dataclass(frozen=True)
class Columns:
    """Weights by volume: the share of a voxel that lies in the column of a pixel along the beam.

    Attributes
    ----------
    geometry : Geometry
        Its source is the image, as deep as the volume; its target is the volume.
    """

    geometry: Geometry

    def shadow(self, values: npt.NDArray[Any]) -> Vector:
        """Return sums (y, x) of values (z, y, x)."""
        total = np.zeros(self.geometry.source.shape)
        for span in self.geometry.slabs():
            back = shares.exact(self.geometry.part(span, _everything(self.geometry))).turned()
            total += back.placed(values[span][..., None].astype(float))[..., 0]
        shadow: Vector = total[0]
        return shadow

    def lit(self, image: Vector, *, squared: bool = False) -> Vector:
        """Return values (z, y, x, k) of an image (y, x, k)."""
        values = np.zeros((*self.geometry.target.shape, image.shape[2]))
        for span in self.geometry.slabs():
            operator = shares.exact(self.geometry.part(span, _everything(self.geometry)))
            values[span] = operator.lit(image[None], squared=squared)
        return values


def _everything(placed: Geometry) -> Span:
    z, y, x = placed.source.shape
    return slice(0, z), slice(0, y), slice(0, x)


@dataclass(frozen=True)
class Rays:
    """Weights by centres: where the beam through each voxel meets the image.

    Attributes
    ----------
    voxels : array (n,)
        Flat index of the voxels that lie before the image.
    pixels, weights : arrays (n, c)
        The pixels that each falls on, and its shares in them.
    volume, image : tuple of int
        Shapes of the two.
    """

    voxels: npt.NDArray[np.intp]
    pixels: npt.NDArray[np.intp]
    weights: Vector
    volume: tuple[int, ...]
    image: tuple[int, ...]

    def shadow(self, values: npt.NDArray[Any]) -> Vector:
        """Return sums (y, x) of values (z, y, x)."""
        # Aᵀ v by scattering: each voxel adds its share to every pixel it falls on. No sparse matrix is built, because
        # one pass costs less than sorting its rows.
        terms = (self.weights * values.reshape(-1)[self.voxels, None]).ravel()
        summed = np.bincount(self.pixels.ravel(), terms, minlength=int(np.prod(self.image)))
        return np.asarray(summed, dtype=np.float64).reshape(self.image)

    def lit(self, image: Vector, *, squared: bool = False) -> Vector:
        """Return values (z, y, x, k) of an image (y, x, k)."""
        flat, power = image.reshape(-1, image.shape[2]), 2 if squared else 1
        values = np.zeros((int(np.prod(self.volume)), image.shape[2]))
        # The same weights read the other way, so that <Aᵀ v, m> = <v, A m> holds to rounding; variances of independent
        # pixels take the weights squared.
        values[self.voxels] = np.einsum("nc,nck->nk", self.weights**power, flat[self.pixels])
        return values.reshape(*self.volume, -1)


def _rays(
    volume: xr.Dataset, grid: xr.Dataset, transform: Transform, method: Method, occupied: npt.NDArray[np.intp]
) -> Rays:
    shape = tuple(volume.sizes[dim] for dim in "zyx")
    at = zip("zyx", np.unravel_index(occupied, shape), strict=True)
    seen = transform.inverse()(np.stack([volume[dim].values[index] for dim, index in at], axis=-1))
    size = {dim: grid.sizes[dim] for dim in ("y", "x")}
    index = [(seen[:, column] - grid[dim].values[0]) / spacing(grid[dim]) for column, dim in ((1, "y"), (2, "x"))]
    reach = 1e-6 if method == "linear" else 0.5
    bounds = [(p >= -reach) & (p < size[dim] - 1 + reach) for p, dim in zip(index, ("y", "x"), strict=True)]
    inside = np.flatnonzero(np.logical_and.reduce(bounds))
    row, column = (p[inside] for p in index)
    pixels, weights = _corners(row, column, size["y"], size["x"], method)
    return Rays(occupied[inside], pixels, weights, shape, (size["y"], size["x"]))


def _corners(
    row: Vector, column: Vector, rows: int, columns: int, method: Method
) -> tuple[npt.NDArray[np.intp], Vector]:
    """Return the pixels around each position, and their weights."""
    if method == "nearest":
        nearest = np.floor(row + 0.5).astype(np.intp) * columns + np.floor(column + 0.5).astype(np.intp)
        return nearest[:, None], np.ones((row.size, 1))
    low_row = np.clip(np.floor(row), 0, max(rows - 2, 0)).astype(np.intp)
    low_column = np.clip(np.floor(column), 0, max(columns - 2, 0)).astype(np.intp)
    # Bilinear shares of the four pixels around a centre. They sum to 1 for a voxel within the outermost pixel centres,
    # and voxels beyond are no part of the projection.
    v, u = _fraction(row - low_row), _fraction(column - low_column)
    corner = low_row * columns + low_column
    pixels = np.stack([corner, corner + 1, corner + columns, corner + columns + 1], axis=-1)
    return pixels, np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], axis=-1)


def _fraction(distance: Vector) -> Vector:
    """Return how far between two pixels; one that is met through rounding alone must not count as seen."""
    integer = np.rint(distance)
    return np.clip(np.where(np.abs(distance - integer) < 1e-9, integer, distance), 0.0, 1.0)
