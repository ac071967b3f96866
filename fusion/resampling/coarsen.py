"""Several pixels or channels as one: counts add up, intensities are averaged, errors follow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import xarray as xr

from fusion import provenance
from fusion.conventions import LABELS, cell_methods, check, error_of, kind, spatial_dims
from fusion.errors import DataError

_UNORDERED: Final = (*LABELS, "component", "channel")


def coarsen(ds: xr.Dataset, *, boundary: Literal["exact", "trim"] = "exact", **windows: int) -> xr.Dataset:
    """Bring a dataset to larger pixels or channels, as `xarray.Dataset.coarsen` does, with its errors and its pose.

    Parameters
    ----------
    ds : Dataset
    boundary : {"exact", "trim"}
        What to do where a size is no multiple of its window: refuse, or leave out the last pixels.
    **windows : int
        How many pixels or channels become one, by dim: ``y=4, x=4`` or ``energy=2``.

    Returns
    -------
    Dataset
        Lazy if it was. Counts (``cell_methods`` sum) are summed, other numbers averaged; of labels the most frequent
        is kept. A window with a NaN is NaN. Standard errors, taken as independent, add in quadrature: √(Σ σ²) of a sum,
        √(Σ σ²) / n of a mean. A coordinate is the mean of its window, the centre of the new pixel, so that the pose
        stays as it is. What lies along none of the dims is not touched.

    Raises
    ------
    DataError
        If there is no such axis, a window is no whole number of at least 1 or longer than the axis, a size is no
        multiple of it under ``"exact"``, or a variable is text.
    ConventionError
        If the dataset breaks the conventions.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"counts": ("x", [1, 2, 3, 4, 5])}, {"x": Axis("um", 0.5)}, name="line", cell_methods="sum")
    >>> coarse = coarsen(ds, x=2, boundary="trim")
    >>> coarse["counts"].values, coarse["x"].values
    (array([3, 7]), array([0.25, 1.25]))
    """
    check(ds)
    sizes = _windows(ds, windows, boundary)
    kept = ds.isel({dim: slice(ds.sizes[dim] // size * size) for dim, size in sizes.items()})
    owners = {error_of(array): array for array in kept.data_vars.values()}
    variables = {
        name: _coarse_error(array, kind(owners[name]), sizes) if name in owners else _coarse(array, sizes)
        for name, array in kept.data_vars.items()
    }
    coords = {name: _centres(coordinate, sizes) for name, coordinate in kept.coords.items()}
    result = xr.Dataset(variables, coords, attrs=ds.attrs)
    return provenance.record(check(result), "fusion.coarsen", {"boundary": boundary, **sizes})


def _windows(ds: xr.Dataset, windows: Mapping[str, int], boundary: str) -> dict[str, int]:
    """Return the windows, once they are known to fit the axes."""
    if boundary not in ("exact", "trim"):
        raise DataError(f"unknown boundary {boundary!r}; accepted are 'exact' and 'trim'")
    if not windows:
        raise DataError("no dim to coarsen; give how many pixels become one, e.g. y=2, x=2")
    for dim, size in windows.items():
        if dim not in ds.dims or dim in _UNORDERED:
            axes = [str(key) for key in ds.dims if key not in _UNORDERED]
            raise DataError(f"there is no axis {dim!r} to coarsen; the axes are {', '.join(axes)}")
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 1 <= size <= ds.sizes[dim]:
            raise DataError(f"{dim}: a window is a whole number from 1 to {ds.sizes[dim]}; received {size!r}")
        if boundary == "exact" and ds.sizes[dim] % size:
            raise DataError(
                f"{dim}: {ds.sizes[dim]} pixels are no multiple of {size}; boundary='trim' leaves out the last "
                f"{ds.sizes[dim] % size}"
            )
    return {dim: int(size) for dim, size in windows.items()}


def _coarse(array: xr.DataArray, windows: Mapping[str, int]) -> xr.DataArray:
    own = {dim: size for dim, size in windows.items() if dim in array.dims}
    if not own:
        return array
    if array.dtype.kind not in "biufc":
        raise DataError(f"{array.name}: values of dtype {array.dtype} can be neither added nor averaged; drop it first")
    of_array = kind(array)
    if of_array == "label":
        return _most_frequent(array, own)
    if of_array == "sum":
        return _reduced(array, own, "sum")
    attrs = cell_methods(spatial_dims(array), "mean") if of_array == "point" else {}
    return _reduced(array, own, "mean").assign_attrs(attrs)


def _coarse_error(error: xr.DataArray, of_array: str, windows: Mapping[str, int]) -> xr.DataArray:
    own = {dim: size for dim, size in windows.items() if dim in error.dims}
    if not own:
        return error
    # σ²(Σ a) = Σ σ² of independent values; a mean of n is the sum over n
    count = 1 if of_array == "sum" else math.prod(own.values())
    root: xr.DataArray = _reduced(error.astype(np.float64) ** 2, own, "sum") ** 0.5 / count
    return root.assign_attrs(error.attrs)


def _most_frequent(array: xr.DataArray, windows: Mapping[str, int]) -> xr.DataArray:
    flags = np.unique([*np.atleast_1d(array.attrs["flag_values"]), -1])
    votes = xr.concat([_reduced((array == flag).astype(np.int64), windows, "sum") for flag in flags], "flag")
    winner = votes.argmax("flag")
    labels: xr.DataArray = xr.apply_ufunc(
        lambda index: flags[index].astype(array.dtype), winner, dask="parallelized", output_dtypes=[array.dtype]
    )
    return labels.assign_attrs(array.attrs).rename(array.name)


def _reduced(array: xr.DataArray, windows: Mapping[str, int], method: Literal["sum", "mean"]) -> xr.DataArray:
    # xarray's own sum of windows takes NaN for zero, as if nothing had been missed
    plain: Any = array.drop_vars(list(array.coords))
    reduced: xr.DataArray = plain.coarsen(dict(windows)).reduce(np.sum if method == "sum" else np.mean)
    return reduced.assign_attrs(array.attrs)


def _centres(coordinate: xr.DataArray, windows: Mapping[str, int]) -> xr.Variable:
    own = {dim: size for dim, size in windows.items() if dim in coordinate.dims}
    if not own:
        return coordinate.variable
    return _reduced(xr.DataArray(coordinate.variable.to_base_variable()), own, "mean").variable
