"""NetCDF files of other programs, whose axes have known names and units."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import xarray as xr

from fusion.conventions import LABELS, SIGNAL, SPATIAL
from fusion.errors import FileReadError
from fusion.files.netcdf import opened
from fusion.model import Axis
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.attributes import technique


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """Return the variables of a file that another program wrote.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the file cannot be opened.
    """
    group = opened(path)
    return [readable(path, str(key), partial(_described, group, str(key), path)) for key in group.data_vars]


def _described(group: xr.Dataset, name: str, path: Path) -> StoredArray:
    array = group[name]
    dims = tuple(str(dim) for dim in array.dims)
    missing = [fault for dim in dims for fault in _axis_faults(group, dim)]
    if missing:
        accepted = ", ".join([*SPATIAL, *SIGNAL])
        raise FileReadError(
            path, f"variable {name!r}: {'; '.join(missing)}", hint=f"dims are {accepted}, with coordinates and units"
        )
    attrs = {key: value for key, value in array.attrs.items() if key != "coordinates"}
    shared = {key: value for key, value in group.attrs.items() if key != "Conventions"}
    return StoredArray(
        name=name,
        dims=dims,
        shape=array.shape,
        dtype=array.dtype,
        load=lambda: array.variable.data,
        axes={dim: _axis(group[dim]) for dim in dims if "units" in group[dim].attrs},
        labels={dim: group[dim].values.tolist() for dim in dims if "units" not in group[dim].attrs},
        attrs={"units": "1", **attrs},
        dataset_attrs={"technique": technique("", dims), "title": path.stem, **shared},
        variable=name,
    )


def _axis_faults(group: xr.Dataset, dim: str) -> list[str]:
    if dim not in (*SPATIAL, *SIGNAL, *LABELS):
        return [f"unknown dim {dim!r}"]
    if dim in ("channel", "component", *LABELS):
        return []
    if dim not in group.coords:
        return [f"{dim} has no coordinate"]
    return [] if "units" in group[dim].attrs else [f"{dim} has no units"]


def _axis(coordinate: xr.DataArray) -> Axis:
    long_name = str(coordinate.attrs.get("long_name", ""))
    return Axis(str(coordinate.attrs["units"]), values=coordinate.values, long_name=long_name)
