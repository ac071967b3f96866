"""Counts placed where a probe found them, below the surface of a specimen, and a volume as the probe would see it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import LINKS, SPATIAL, cell_methods, error_of, kind, spatial_dims, title
from fusion.display import edges
from fusion.errors import ConventionError, DataError
from fusion.grids.cells import cells_of
from fusion.grids.geometry import geometry
from fusion.grids.groups import Rows, overlap_rows
from fusion.model import require_lengths
from fusion.placing.response import Response
from fusion.warp import Transform, Warp

Array = npt.NDArray[Any]
PLANE = ("y", "x")


@dataclass(frozen=True)
class Probe:
    """The share of the signal of each pixel that comes from each voxel.

    Attributes
    ----------
    shares : sparse array (pixels, voxels)
    covered : array (z, y, x)
        Share of each voxel that lies in what the probe sees.
    """

    shares: Rows
    covered: Array

    def placed(self, counts: Array, *, squared: bool = False) -> Array:
        """Return counts (z, y, x, k) of pixels (y, x, k); variances if `squared`; NaN where the probe sees nothing."""
        shares = self.shares.power(2) if squared else self.shares
        values: Array = shares.T @ counts.reshape(-1, counts.shape[-1])
        values = values.reshape(*self.covered.shape, -1)
        values[self.covered == 0] = np.nan
        return values

    def measured(self, values: Array) -> Array:
        """Return means (pixels, k) of voxels (z, y, x, k), weighted as the probe sees them; NaN beside the volume."""
        seen = np.asarray(self.shares.sum(axis=1)).ravel()[:, None]
        # Σ C u / Σ C: the mean over what the probe sees of the volume, and the adjoint of placing where it sees all
        sums: Array = self.shares @ values.reshape(-1, values.shape[-1])
        means: Array = np.divide(sums, seen, out=np.full(sums.shape, np.nan), where=seen > 0)
        return means


# A pixel is a stack of prisms, one for each layer of the response, moved along the beam by the height of the surface.
# Its share in a voxel is the sum over the layers of their part of the signal times their part of volume there, exact in
# any pose. All counts of a pixel share one error, so that the layers are added before a share is squared.
def probe(ds: xr.Dataset, volume: xr.Dataset, transform: Transform, response: Response) -> Probe:
    """Return how the pixels of a map see the voxels of a volume.

    Raises
    ------
    DataError
        If the map is no image, or the surface is not known under it.
    """
    for one in (ds, volume):
        require_lengths(one, "placed")
    if not {"y", "x"} <= set(ds.dims) or "z" in ds.dims:
        raise DataError(f"{title(ds)}: a response belongs to a map over y and x; its dims are {dict(ds.sizes)}")
    voxels = cells_of(volume)
    if not all(np.ptp(axis) > 0 for axis in voxels.edges):
        raise DataError(f"{title(volume)}: a volume with z, y and x is needed; its dims are {dict(volume.sizes)}")
    geometry(ds, volume, transform, depth=1.0).require_unfolded()
    y, x = (edges(ds[dim].values) for dim in PLANE)
    surface = response.heights(ds)
    size = int(np.prod(voxels.shape))
    shares, covered = None, np.zeros(size)
    layers = zip(response.edges[:-1], response.edges[1:], response.shares, strict=True)
    for above, below, signal in layers:
        z = np.sort(surface[:, None] + response.direction * np.array([above, below]), axis=1)
        corners = transform(_prisms(z, y, x))
        rows, volumes = overlap_rows(voxels.edges, corners, bent=isinstance(transform, Warp))
        covered += np.asarray(rows.sum(axis=0)).ravel()
        # overlaps come in um³ of the volume, and so do the volumes of the prisms
        rows.data *= np.repeat(signal / volumes, np.diff(rows.indptr))
        shares = rows if shares is None else shares + rows
    # prisms of one layer do not overlap, and layers lie on each other: a voxel cannot be covered twice
    covered = np.minimum(covered / voxels.measure((0, 1, 2)), 1.0)
    return Probe(shares, np.where(covered > 1 - 1e-9, 1.0, covered).reshape(voxels.shape))


def _prisms(z: Array, y: Array, x: Array) -> Array:
    """Return the corners (pixels, 8, 3) of prisms between two heights z (pixels, 2) over the pixels between edges."""
    pixel = np.meshgrid(np.arange(y.size - 1), np.arange(x.size - 1), indexing="ij")
    row, column = (index.ravel() for index in pixel)
    corners = [(z[:, up], y[row + across], x[column + along]) for up, across, along in product((0, 1), repeat=3)]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)


def placed(ds: xr.Dataset, through: Probe) -> dict[Hashable, Any]:
    """Return the counts of a map and their errors in the voxels, as variables, with the coverage."""
    owners = {error_of(variable): variable for variable in ds.data_vars.values()}
    variables: dict[Hashable, Any] = {}
    for name in (n for n, variable in ds.data_vars.items() if {"y", "x"} <= set(variable.dims)):
        counts, squared = ds[name], name in owners
        extra = [str(dim) for dim in counts.dims if dim not in PLANE]
        flat = counts.transpose(*PLANE, *extra).values.astype(float).reshape(ds.sizes["y"], ds.sizes["x"], -1)
        values = through.placed(flat**2, squared=True) ** 0.5 if squared else through.placed(flat)
        attrs = {key: value for key, value in counts.attrs.items() if key not in ("grid_mapping", LINKS)}
        attrs |= cell_methods(SPATIAL, "sum") | ({LINKS: error} if (error := error_of(counts)) else {})
        shape = (*through.covered.shape, *(counts.sizes[dim] for dim in extra))
        variables[name] = ((*SPATIAL, *extra), values.reshape(shape), attrs)
    meaning = {"units": "1", "long_name": "share of the cell within the dataset", **cell_methods(SPATIAL, "point")}
    return {**variables, "coverage": (SPATIAL, through.covered, meaning)}


def measured(volume: xr.Dataset, grid: xr.Dataset, through: Probe) -> dict[str, Any]:
    """Return the means that the pixels of a map see of the variables of a volume.

    Raises
    ------
    ConventionError
        If a variable is a count: which part of those of a voxel a probe sees depends on the probe's brightness.
    """
    errors = {error_of(variable) for variable in volume.data_vars.values()}
    names = [n for n in volume.data_vars if spatial_dims(volume[n]) and n != "coverage" and n not in errors]
    if faults := [f"{n}: {kind(volume[n])!r}, and a probe sees means of intensities" for n in names
                  if kind(volume[n]) in ("sum", "label")]:  # fmt: skip
        raise ConventionError(faults)
    variables: dict[str, Any] = {}
    for name in names:
        extra = [str(dim) for dim in volume[name].dims if dim not in SPATIAL]
        values = volume[name].transpose(*SPATIAL, *extra).values.astype(float)
        seen = through.measured(values.reshape(*through.covered.shape, -1))
        attrs = {key: value for key, value in volume[name].attrs.items() if key not in ("grid_mapping", LINKS)}
        shape = (*(grid.sizes[dim] for dim in PLANE), *(volume.sizes[dim] for dim in extra))
        variables[str(name)] = ((*PLANE, *extra), seen.reshape(shape), attrs | cell_methods(PLANE, "mean"))
    return variables
