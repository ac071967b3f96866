"""Datasets that hold a linear field on a grid of unequal sizes and steps, as the tests of resampling use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

import fusion
from fusion import Affine, Axis

STEPS = {"z": 0.4, "y": 0.05, "x": 0.13}
STARTS = {"z": 3.0, "y": -1.0, "x": 0.25}


def field(points: np.ndarray) -> np.ndarray:
    """Return 100 z + 10 y + x, which trilinear interpolation keeps exactly."""
    return points @ np.array([100.0, 10.0, 1.0])


def axes(dims: str = "zyx", steps: dict[str, float] = STEPS, starts: dict[str, float] = STARTS) -> dict[str, Axis]:
    return {dim: Axis("um", steps[dim], starts[dim]) for dim in dims}


def positions(ds: xr.Dataset) -> np.ndarray:
    """Return the positions (nz, ny, nx, 3) of all pixels; a missing axis is the plane."""
    lines = [np.atleast_1d(ds[dim].values) if dim in ds.coords else np.zeros(1) for dim in "zyx"]
    return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)


def volume(shape: tuple[int, ...], along: dict[str, Axis] | None = None, **options: Any) -> xr.Dataset:
    """Return a dataset of `shape` that holds the linear field."""
    dims = "zyx"[-len(shape) :]
    along = along or axes(dims)
    empty = fusion.dataset({"v": (tuple(dims), np.zeros(shape))}, along, name="v", cell_methods="mean")
    values = field(positions(empty)).reshape(shape)
    options = {"name": "v", "cell_methods": "mean", "frame": "stage", **options}
    return fusion.dataset({"v": (tuple(dims), values)}, along, **options)


def replaced(ds: xr.Dataset, values: Any, **attrs: Any) -> xr.Dataset:
    return ds.assign(v=(ds["v"].dims, values, {**ds["v"].attrs, **attrs}))


def indices(ds: xr.Dataset, grid: xr.Dataset, transform: Affine) -> np.ndarray:
    """Return the pixel index in `ds` of every point of `grid`, straight from the definition."""
    seen = np.einsum(
        "ij,...j->...i", np.linalg.inv(transform.matrix)[:3, :3], positions(grid) - transform.matrix[:3, 3]
    )
    return np.stack([(seen[..., i] - ds[d].values[0]) / np.diff(ds[d].values)[0] for i, d in enumerate("zyx")], -1)


THICK = {"z": 0.3, "y": 0.05, "x": 0.13}


def plane(z: float, shape: tuple[int, int] = (9, 8)) -> xr.Dataset:
    return volume(shape, {**axes("yx"), "z": Axis("um", values=z)})
