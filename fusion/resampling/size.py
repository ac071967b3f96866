"""How large a result will be: said before it is made, as a small map on a fine grid may fill the memory."""

from __future__ import annotations

import math
import warnings
from typing import Final

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, spatial_dims, title
from fusion.errors import LargeResultWarning

LARGE: Final = 1e9
"""Bytes above which a result is announced."""


def announce(ds: xr.Dataset, grid: xr.Dataset) -> None:
    """Warn if the variables of `ds` on the grid of another dataset take more than 1 GB and are computed at once.

    Parameters
    ----------
    ds, grid : Dataset

    Warns
    -----
    LargeResultWarning
    """
    size = result_bytes(ds, grid)
    if size > LARGE:
        warnings.warn(
            LargeResultWarning(
                f"{title(ds)} takes {ds.nbytes / 1e6:.2g} MB, on the grid of {title(grid)} it will take "
                f"{size / 1e9:.2g} GB of memory; crop the grid (grid.isel), make its voxels larger (fusion.coarsen), "
                "or keep the result lazy with ds.chunk()"
            ),
            stacklevel=4,
        )


def result_bytes(ds: xr.Dataset, grid: xr.Dataset) -> int:
    """Return the bytes that the variables of a dataset take on a grid; lazy ones take none.

    Examples
    --------
    >>> small = xr.Dataset({"a": (("y", "x", "component"), np.ones((2, 2, 3), np.float32))})
    >>> result_bytes(small, xr.Dataset({"b": (("z", "y", "x"), np.ones((10, 20, 30)))}))
    72000
    """
    if any(variable.chunks for variable in grid.data_vars.values() if spatial_dims(variable)):
        return 0
    voxels = math.prod(grid.sizes[dim] for dim in SPATIAL if dim in grid.sizes)
    moved = (variable for variable in ds.data_vars.values() if spatial_dims(variable) and not variable.chunks)
    return sum(voxels * _values_per_voxel(variable) * _itemsize(variable.dtype) for variable in moved)


def _values_per_voxel(variable: xr.DataArray) -> int:
    return math.prod(size for dim, size in variable.sizes.items() if dim not in SPATIAL)


def _itemsize(dtype: np.dtype) -> int:
    """Return the bytes of a value of the result: a float32 holds whole numbers of up to two bytes."""
    small = dtype == np.float32 or (dtype.kind in "iub" and dtype.itemsize <= 2)
    return 4 if small else 8
