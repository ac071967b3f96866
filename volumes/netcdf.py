"""NetCDF files of other programs: labelled already, so only units and order need to be brought to the conventions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from fusion import units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.store import load, wrote
from volumes.part import Part

_SPECTRAL = set(SIGNAL) - {"channel", "component", "tilt", "time"}


def parts(path: Path) -> list[Part]:
    """List the variables that have a y or an x axis."""
    with opened(path) as ds:
        return [_part(path, str(key), ds[key]) for key in ds.data_vars if {"y", "x"} & set(ds[key].dims)]


def own(path: Path, name: str | None = None) -> xr.Dataset | None:
    """Return a dataset that `fusion.save` wrote, lazily; None if another program wrote the file.

    Raises
    ------
    FileReadError
        If the file is a project with several datasets and `name` is none of them.
    """
    if not wrote(path):
        return None
    stored: xr.Dataset | xr.DataTree = load(path, chunks={})
    if isinstance(stored, xr.Dataset):
        return stored
    nodes = {str(key): child.to_dataset() for key, child in stored.children.items()}
    if name not in nodes:
        available = ", ".join(map(repr, nodes))
        raise FileReadError(path, f"a project with the datasets {available}", hint="choose one by name=")
    return nodes[name]


def opened(path: Path) -> xr.Dataset:
    """Open a NetCDF file lazily: version 4 by h5netcdf, because netCDF-C dies on a damaged one; version 3 by scipy."""
    with path.open("rb") as stream:
        engine = "scipy" if stream.read(3) == b"CDF" else "h5netcdf"
    return xr.open_dataset(path, engine=engine, decode_times=False)


def _part(path: Path, name: str, array: xr.DataArray) -> Part:
    dims = tuple(str(dim) for dim in array.dims)
    spectral = sorted(_SPECTRAL & set(dims))
    if spectral and "cell_methods" not in array.attrs:
        reason = f"{name!r} has the spectral axis {spectral[0]!r} and does not say whether its values are counts"
        raise FileReadError(path, reason, hint="open it with spectra.open")
    known = all(dim in {*SPATIAL, *SIGNAL} for dim in dims)
    return Part(
        name=name,
        dims=dims if known else None,
        shape=array.shape,
        dtype=array.dtype,
        load=partial(_load, path, name),
        axes=_axes(array),
        labels={dim: array[dim].values.astype(str).tolist() for dim in ("channel", "component") if dim in array.coords},
        attrs=_attrs(array),
        metadata={
            str(key): value.tolist() if hasattr(value, "tolist") else value for key, value in array.attrs.items()
        },
    )


def _axes(array: xr.DataArray) -> dict[str, Axis]:
    axes = {}
    for dim in array.dims:
        unit = array[dim].attrs.get("units") if dim in array.coords else None
        wanted = units.LENGTH if dim in SPATIAL else SIGNAL.get(str(dim), "1")
        if dim not in ("channel", "component") and unit is not None and units.is_compatible(unit, wanted):
            axes[str(dim)] = Axis(unit, values=array[dim].values)
    return axes


def _attrs(array: xr.DataArray) -> dict[str, Any]:
    kept = {key: array.attrs[key] for key in ("units", "long_name", "cell_methods") if key in array.attrs}
    if not units.is_compatible(kept.get("units"), kept.get("units", "1")):
        kept.pop("units", None)
    return kept


def _load(path: Path, name: str) -> Any:
    return opened(path).chunk()[name].data
