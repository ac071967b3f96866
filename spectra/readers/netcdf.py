"""NetCDF files of other programs, whose axes have known names and units."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from fusion import units
from fusion.conventions import LABELS, SIGNAL, SPATIAL
from fusion.errors import FileReadError, UnitError
from fusion.files.netcdf import groups
from fusion.model import Axis
from fusion.reading.cf import dim_of, renamed
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.attributes import technique
from spectra.axes import dim_name, unit_of

_DIMS = (*SPATIAL, *SIGNAL, *LABELS)


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """Return the variables of a file that another program wrote, those of groups with the name of the group.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the file cannot be opened.
    """
    return [
        readable(path, name, partial(_described, standard, str(key), name, path))
        for group, ds in groups(path).items()
        for standard in [_standard(ds)]
        for key in standard.data_vars
        for name in [f"{group}/{key}" if group else str(key)]
    ]


def _standard(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose dims are called as in the conventions, where names, units or CF's attributes tell them."""
    return renamed(ds, {dim: str(dim) if dim in _DIMS else _name(ds, str(dim)) for dim in ds.dims})


def _name(ds: xr.Dataset, dim: str) -> str:
    """Return what the conventions call a dim of a file; its own name where nothing says what it is."""
    if stated := dim_of(ds, dim):
        return stated
    attrs = ds[dim].attrs if dim in ds.coords else {}
    for label in (dim, str(attrs.get("long_name", ""))):
        with suppress(UnitError):
            return dim_name(label, attrs.get("units"))
    return dim


def _described(group: xr.Dataset, key: str, name: str, path: Path) -> StoredArray:
    array = group[key]
    dims = tuple(str(dim) for dim in array.dims)
    missing = [fault for dim in dims for fault in _axis_faults(group, dim)]
    if missing:
        accepted = ", ".join([*SPATIAL, *SIGNAL])
        raise FileReadError(
            path, f"variable {name!r}: {'; '.join(missing)}", hint=f"dims are {accepted}, with coordinates and units"
        )
    attrs = _attrs(array)
    shared = {key: value for key, value in group.attrs.items() if key != "Conventions"}
    return StoredArray(
        name=name,
        dims=dims,
        shape=array.shape,
        dtype=array.dtype,
        load=lambda: array.variable.data,
        axes={dim: _axis(group[dim]) for dim in dims if "units" in group[dim].attrs},
        labels={dim: group[dim].values.tolist() for dim in dims if "units" not in group[dim].attrs},
        attrs=attrs,
        dataset_attrs={"technique": technique("", dims), "title": path.stem, **shared},
        variable=key,
    )


def _attrs(array: xr.DataArray) -> dict[str, Any]:
    """Return the attributes of a variable; a unit that is not known becomes the attribute ``units_in_file``."""
    attrs = {str(key): value for key, value in array.attrs.items() if key != "coordinates"}
    unit = str(attrs.pop("units", "1"))
    known = units.is_compatible(unit, unit)
    return {"units": unit, **attrs} if known else {"units": "1", "units_in_file": unit, **attrs}


def _axis_faults(group: xr.Dataset, dim: str) -> list[str]:
    if dim not in _DIMS:
        return [f"unknown dim {dim!r}"]
    if dim in ("channel", "component", *LABELS):
        return []
    if dim not in group.coords:
        return [f"{dim} has no coordinate"]
    return [] if "units" in group[dim].attrs else [f"{dim} has no units"]


def _axis(coordinate: xr.DataArray) -> Axis:
    long_name = str(coordinate.attrs.get("long_name", ""))
    return Axis(unit_of("", coordinate.attrs["units"]), values=coordinate.values, long_name=long_name)
