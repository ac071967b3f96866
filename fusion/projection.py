"""Projection along a beam, and its reverse: how a map that was taken through a volume is placed in it.

Both use the same weights, one the transpose of the other, so that no count is lost or gained on the way.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import check, kind, spacing, title
from fusion.errors import ConventionError, DataError
from fusion.frames import Affine, between
from fusion.model import require_lengths
from fusion.resample import COVERAGE, resample

Vector = npt.NDArray[np.float64]


def project(
    density: xr.DataArray, volume: xr.Dataset, grid: xr.Dataset, *, transform: Affine | None = None
) -> xr.DataArray:
    """Sum a volume along z of `grid`, onto the pixels of `grid`.

    Parameters
    ----------
    density : DataArray (z, y, x)
        A variable of `volume`; each voxel is shared between the four pixels around the place it falls on.
    volume : Dataset
        Carries coordinates in um and the pose of `density`.
    grid : Dataset
        With uniform y and x in um. The beam runs along z of its frame.
    transform : Affine, optional
        Maps coordinates of `grid` to coordinates of `volume`; left out, it is what the two poses say.

    Returns
    -------
    DataArray (y, x)
        Sums; what falls beside the outermost pixel centres is left out.
    """
    _require_projectable(volume, grid)
    pixels, weights, values = _splat(density, grid, transform or between(grid, volume))
    size = grid.sizes["y"] * grid.sizes["x"]
    summed = np.bincount(pixels.ravel(), (weights * values).ravel(), minlength=size)
    attrs = {"units": density.attrs.get("units", "1"), "cell_methods": "y: x: sum", "long_name": "projection"}
    return xr.DataArray(
        summed.reshape(grid.sizes["y"], grid.sizes["x"]),
        dims=("y", "x"),
        coords={"y": grid["y"], "x": grid["x"]},
        name="projection",
        attrs=attrs,
    )


def backproject(ds: xr.Dataset, volume: xr.Dataset, *, density: str, transform: Affine | None = None) -> xr.Dataset:
    """Place a projected map in a volume along its beam, weighted by a density; counts are conserved.

    Parameters
    ----------
    ds : Dataset (y, x, ...)
        Variables with ``cell_methods: sum``: counts of a projection. The beam runs along z of its frame.
    volume : Dataset (z, y, x)
        Holds `density`; its grid is that of the result.
    density : str
        A variable of `volume`, not negative, that says where along the beam the counts came from.
    transform : Affine, optional
        Maps coordinates of `ds` to coordinates of `volume`; left out, it is what the two poses say.

    Returns
    -------
    Dataset (z, y, x, ...)
        density times the interpolated ratio of counts to projected density. Its sum is that of the counts wherever
        the density is not zero; the attribute ``lost_fraction`` says which share of the counts fell elsewhere. Its
        projection is the map again where voxels fall on the middle of pixels, and else the map with counts shared
        between neighbouring pixels.

    Raises
    ------
    ConventionError
        If a variable is not a sum, or the density is negative, not finite or not there.
    DataError
        If no count falls on any density.

    Notes
    -----
    With interpolation weights A (voxel by pixel) and density d: v = d * A (c / Aᵀd), so that 1ᵀv = 1ᵀc.
    """
    ds, volume = check(ds), check(volume)
    _require_projectable(volume, ds)
    names = [name for name, variable in ds.data_vars.items() if {"y", "x"} <= set(variable.dims)]
    if faults := _density_faults(volume, density) + _count_faults(ds, names):
        raise ConventionError(faults)
    transform = transform or between(ds, volume)
    shadow = project(volume[density], volume, ds, transform=transform)
    seen = shadow.values > 0
    ratio = (1.0 / shadow.where(shadow > 0)).fillna(0.0)
    shares = ds.assign({name: _shared(ds[name], ratio) for name in names})
    placed = resample(shares, volume[[density]], transform=transform, depth=np.inf).drop_vars(COVERAGE)
    lost = {}
    for name in names:
        lost[name] = _lost(ds[name], seen)
        values = (placed[name].fillna(0.0) * volume[density]).transpose(*placed[name].dims)
        attrs = {**placed[name].attrs, "cell_methods": "z: y: x: sum", "lost_fraction": lost[name]}
        attrs.pop("ancillary_variables", None)
        values.attrs = attrs
        placed[name] = values
    if min(lost.values()) >= 1.0:
        raise DataError(f"{title(ds)}: no count falls on any {density} of {title(volume)}; check the transform")
    return check(provenance.record(placed, "fusion.backproject", {"density": density, "lost_fraction": lost}))


def _density_faults(volume: xr.Dataset, density: str) -> list[str]:
    if density not in volume:
        return [f"{title(volume)}: no variable {density!r}; it has {sorted(map(str, volume.data_vars))}"]
    if not bool((np.isfinite(volume[density]) & (volume[density] >= 0)).all()):
        return [f"{density}: a density is finite and not negative"]
    return []


def _count_faults(ds: xr.Dataset, names: list[Hashable]) -> list[str]:
    if not names:
        return [f"{title(ds)}: no variable has y and x"]
    return [f"{name}: counts (cell_methods 'sum') are needed" for name in names if kind(ds[name]) != "sum"]


def _shared(counts: xr.DataArray, ratio: xr.DataArray) -> xr.DataArray:
    shared = (counts * ratio).transpose(*counts.dims)
    return shared.assign_attrs({**counts.attrs, "cell_methods": "y: x: mean"})


def _lost(counts: xr.DataArray, seen: npt.NDArray[np.bool_]) -> float:
    pixels = counts.sum([dim for dim in counts.dims if dim not in ("y", "x")]).values
    total = float(pixels.sum())
    return float(pixels[~seen].sum()) / total if total else 1.0


def _require_projectable(volume: xr.Dataset, grid: xr.Dataset) -> None:
    for ds in (volume, grid):
        require_lengths(ds, "projected")
    if any(dim not in grid.dims or spacing(grid[dim]) is None for dim in ("y", "x")) or "z" in grid.dims:
        raise DataError(
            f"{title(grid)}: a projection lies on uniform y and x without z; its dims are {dict(grid.sizes)}"
        )
    if not {"z", "y", "x"} <= set(volume.dims):
        raise DataError(f"{title(volume)}: a volume with z, y and x is needed; its dims are {dict(volume.sizes)}")


def _splat(density: xr.DataArray, grid: xr.Dataset, transform: Affine) -> tuple[Any, Vector, Vector]:
    """Return, for the voxels that hold anything, the four pixels (n, 4), their weights (n, 4) and the values (n, 1)."""
    density = density.transpose("z", "y", "x")
    occupied = np.nonzero(density.values)
    points = np.stack([density[dim].values[index] for dim, index in zip("zyx", occupied, strict=True)], axis=-1)
    seen = transform.inverse()(points)
    lows, parts, inside = [], [], np.ones(len(seen), dtype=bool)
    for column, dim in ((1, "y"), (2, "x")):
        centres = grid[dim].values
        index = (seen[:, column] - centres[0]) / spacing(grid[dim])
        inside &= (index >= -1e-6) & (index <= centres.size - 1 + 1e-6)
        low = np.clip(np.floor(index), 0, centres.size - 2)
        lows.append(low.astype(np.intp))
        part = index - low
        # a pixel that is met through rounding alone must not count as one that saw the density
        parts.append(np.where(np.abs(part - np.rint(part)) < 1e-9, np.rint(part), part))
    (row, column_), (v, u) = lows, parts
    width = grid.sizes["x"]
    corner = row * width + column_
    pixels = np.stack([corner, corner + 1, corner + width, corner + width + 1], axis=-1)[inside]
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], axis=-1)[inside]
    return pixels, np.clip(weights, 0.0, 1.0), density.values[occupied][inside, None].astype(float)
