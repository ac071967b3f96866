"""The variable of a dataset that a spectral function works on."""

from __future__ import annotations

import xarray as xr

from fusion.conventions import SIGNAL, describing
from fusion.errors import ConventionError, DataError


def main_variable(ds: xr.Dataset, name: str | None = None) -> xr.DataArray:
    """Return the variable called `name`, or the one with a signal axis that is no standard error of another.

    Parameters
    ----------
    ds : Dataset
    name : str, optional

    Raises
    ------
    ConventionError
        If there is no such variable, or `name` is left out and several could be meant.

    Examples
    --------
    >>> ds = xr.Dataset({"counts": (("y", "energy"), [[1.0]]), "image": (("y",), [1.0])})
    >>> main_variable(ds).name
    'counts'
    """
    if name is not None:
        if name not in ds.data_vars:
            raise ConventionError([f"{name}: no such variable; the dataset has {list(map(str, ds.data_vars))}"])
        return ds[name]
    known = [str(key) for key in ds.data_vars if key not in describing(ds)]
    spectral = [key for key in known if any(dim in SIGNAL for dim in ds[key].dims)]
    if len(spectral) != 1:
        raise ConventionError([f"one variable with a signal axis is needed; found {spectral or 'none'} among {known}"])
    return ds[spectral[0]]


def real_variable(ds: xr.Dataset) -> xr.DataArray:
    """Return `main_variable`, whose values are real numbers.

    Raises
    ------
    ConventionError
        If there is no such variable, or several could be meant.
    DataError
        If its values are complex, or no numbers.
    """
    array = main_variable(ds)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{array.name} has {array.dtype} values and real numbers are needed, as .real of complex ones")
    return array
