"""What cleaning steps share: one function for every spectrum, and a result whose errors are not stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import cell_methods, error_of, kind, signal_dim, spatial_dims, stderr_name
from fusion.model import with_error

Array: TypeAlias = npt.NDArray[Any]


def each_spectrum(array: xr.DataArray, function: Callable[..., Array], *others: xr.DataArray) -> xr.DataArray:
    """Return what a function makes of the spectra (last axis), block by block where they are lazy."""
    dim = signal_dim(array)
    changed: xr.DataArray = xr.apply_ufunc(
        function,
        array,
        *others,
        input_core_dims=[[dim]] * (1 + len(others)),
        output_core_dims=[[dim]],
        dask="parallelized",
        output_dtypes=[float_type(array)],
        dask_gufunc_kwargs={"allow_rechunk": True},
        keep_attrs="override",
    )
    return changed


def finished(
    ds: xr.Dataset,
    changed: xr.DataArray,
    step: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    error: xr.DataArray | None = None,
) -> xr.Dataset:
    """Return the dataset with a changed variable and the step on record; an error that no longer holds is left out.

    Parameters
    ----------
    ds : Dataset
    changed : DataArray
        Takes the place of the variable of its name.
    step, parameters
        As in `fusion.provenance.record`.
    error : DataArray, optional
        Standard error of what was changed; left out, an old one is removed.
    """
    name = str(changed.name)
    old = ds.drop_vars(stderr_name(name), errors="ignore")
    result = with_error(old.assign({name: changed}), name, error)
    return provenance.record(fusion.check(result), step, parameters)


def where_kept(ds: xr.Dataset, array: xr.DataArray, changed: xr.DataArray) -> xr.DataArray | None:
    """Return the standard error of a variable, if it has one, with NaN where a value was changed."""
    name = error_of(array)
    return None if name is None else ds[name].where(array == changed)


def variance(ds: xr.Dataset, array: xr.DataArray) -> xr.DataArray | None:
    """Return the variance of a variable: of its standard error, of counts that of Poisson, else None."""
    name = error_of(array)
    if name is not None:
        return ds[name].astype(np.float64) ** 2
    return array.astype(np.float64).clip(min=0) if kind(array) == "sum" else None


def as_intensity(array: xr.DataArray) -> xr.DataArray:
    """Return values that are no longer counts of their pixel labelled as intensities."""
    if kind(array) != "sum":
        return array
    return array.assign_attrs(cell_methods(spatial_dims(array), "mean"))


def float_type(array: Array | xr.DataArray) -> np.dtype[Any]:
    """Return float32 for float32, else float64."""
    return np.dtype(np.float32 if array.dtype == np.float32 else np.float64)
