"""NetCDF files: those written by conspectus, and plain ones whose axes have known names and units."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import fusion
from fusion.conventions import LABELS, SIGNAL, SPATIAL
from fusion.errors import ConventionError, FileReadError, UnitError
from fusion.files.netcdf import opened, saved
from fusion.model import Axis
from fusion.reading.contents import Builders
from spectra.attributes import technique


def builders(path: Path) -> Builders:
    """Return the datasets of a NetCDF file: one for each group written by conspectus, else one for each variable.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the file cannot be opened.
    """
    own = saved(path)
    if own:
        return {name or str(ds.attrs.get("title", path.stem)): partial(_same, ds) for name, ds in own.items()}
    group = opened(path)
    return {str(key): partial(_plain, group, str(key), path) for key in group.data_vars}


def _same(ds: xr.Dataset) -> xr.Dataset:
    return ds


def _plain(group: xr.Dataset, name: str, path: Path) -> xr.Dataset:
    array = group[name]
    dims = tuple(str(dim) for dim in array.dims)
    missing = [fault for dim in dims for fault in _axis_faults(group, dim)]
    if missing:
        accepted = ", ".join([*SPATIAL, *SIGNAL])
        raise FileReadError(
            path, f"variable {name!r}: {'; '.join(missing)}", hint=f"dims are {accepted}, with coordinates and units"
        )
    axes = {dim: _axis(group[dim]) for dim in dims}
    attrs = {key: value for key, value in array.attrs.items() if key != "coordinates"}
    shared = {key: value for key, value in group.attrs.items() if key not in ("Conventions", "title")}
    try:
        return fusion.dataset(
            {name: (dims, array.variable.data, {"units": "1", **attrs})},
            axes,
            name=str(group.attrs.get("title", path.stem)),
            cell_methods="mean",
            attrs={"technique": technique("", dims), **shared},
        )
    except (ConventionError, UnitError) as error:
        raise FileReadError(path, f"variable {name!r}: {error}") from error


def _axis_faults(group: xr.Dataset, dim: str) -> list[str]:
    if dim not in (*SPATIAL, *SIGNAL, *LABELS):
        return [f"unknown dim {dim!r}"]
    if dim in ("channel", "component", *LABELS):
        return []
    if dim not in group.coords:
        return [f"{dim} has no coordinate"]
    return [] if "units" in group[dim].attrs else [f"{dim} has no units"]


def _axis(coordinate: xr.DataArray) -> Axis | np.ndarray[Any, Any]:
    unit = coordinate.attrs.get("units")
    if unit is None:
        return coordinate.values
    return Axis(str(unit), values=coordinate.values, long_name=str(coordinate.attrs.get("long_name", "")))
