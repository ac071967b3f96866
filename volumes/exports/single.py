"""The one variable that an image file holds."""

from __future__ import annotations

from collections.abc import Container

import xarray as xr

from fusion.errors import DataError


def single(ds: xr.Dataset, known: Container[str]) -> xr.DataArray:
    """Return the only variable of a dataset with y and x, or refuse.

    Raises
    ------
    DataError
        If there are several, or one has a dim that the format does not know.
    """
    names = [name for name, array in ds.data_vars.items() if {"y", "x"} <= set(array.dims)]
    if len(names) != 1:
        listed = ", ".join(map(str, names)) or "none with y and x"
        raise DataError(
            f'an image file holds one image; received {listed}; choose one: ds[["{names[0] if names else "image"}"]]'
        )
    array = ds[names[0]]
    unknown = [str(dim) for dim in array.dims if dim not in known]
    if unknown:
        raise DataError(
            f"{names[0]} lies along {', '.join(unknown)}, which an image file does not know; export to .nc or .nxs"
        )
    if array.dtype.kind not in "iufb":
        raise DataError(
            f"{names[0]} has values of type {array.dtype}, and an image file holds real numbers; export to .nc"
        )
    return array
