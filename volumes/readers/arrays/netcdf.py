"""NetCDF files of other programs: labelled already, so only units and order need to be brought to the conventions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from fusion import units
from fusion.conventions import CELL_METHODS, SIGNAL, SPATIAL, linked, spatial_dims
from fusion.errors import FileReadError
from fusion.files.netcdf import groups, saved
from fusion.model import Axis
from fusion.reading.cf import dim_of, renamed
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from volumes.readers.unit_spelling import doubt

_KNOWN = {*SPATIAL, *SIGNAL}
_SPECTRAL = set(SIGNAL) - {"channel", "component", "tilt", "time"}


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the variables that have a y or an x axis, whatever its case; without any, all of several axes.

    Those of groups have the name of the group before theirs. Of a file that `fusion.save` wrote they are those of
    every dataset.
    """
    own = saved(path)
    if own:
        return [_own_array(name, array) for name, array in _own_arrays(own).items()]
    named = {
        f"{group}/{key}" if group else str(key): array
        for group, ds in groups(path).items()
        for key, array in _standard(ds).data_vars.items()
        if array.dtype.kind in "iufb" and not _is_position(array)
    }
    images = {name: array for name, array in named.items() if {"y", "x"} & set(array.dims)}
    chosen = images or {name: array for name, array in named.items() if array.ndim > 1}
    return [readable(path, name, partial(_array, path, name, array)) for name, array in chosen.items()]


def _standard(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose dims have the names of the conventions, where case or CF's attributes tell them."""
    with_positions = ds.set_coords([key for key, array in ds.data_vars.items() if _is_position(array)])
    lower = {dim: str(dim).lower() for dim in ds.dims}
    return renamed(
        with_positions,
        {dim: name if name in _KNOWN else dim_of(with_positions, dim) or str(dim) for dim, name in lower.items()},
    )


def _is_position(array: xr.DataArray) -> bool:
    """Whether a variable gives the positions along a spatial axis: lengths along it alone."""
    along = len(array.dims) == 1 and str(array.dims[0]).lower() in SPATIAL
    return along and units.is_compatible(array.attrs.get("units"), units.LENGTH) and array.dtype.kind in "iuf"


def own(path: Path, name: str | None = None) -> xr.Dataset | None:
    """Return a dataset that `fusion.save` wrote, lazily; None if another program wrote the file.

    A name is that of a dataset of the project, or of a variable as `arrays` lists it, which then comes with the
    variables that it names in ``ancillary_variables``.

    Raises
    ------
    FileReadError
        If the file is a project with several datasets and no name is given, or if it has none of that name.
    """
    nodes = saved(path)
    if not nodes:
        return None
    arrays = _own_arrays(nodes)
    if name in nodes:
        return nodes[name]
    if name in arrays:
        node, _, variable = str(name).rpartition("/")
        return _with_companions(nodes[node], variable)
    if name is None and "" in nodes:
        return nodes[""]
    available = ", ".join(map(repr, [*filter(None, nodes), *arrays]))
    if name is None:
        raise FileReadError(path, f"a project with the datasets {available}", hint="choose one by name=")
    raise FileReadError(path, f"it holds no {name!r}", hint=f"name one of {available}")


def _own_arrays(nodes: dict[str, xr.Dataset]) -> dict[str, xr.DataArray]:
    """Return the images and volumes, as ``dataset/variable`` where there are several datasets; spectra are left out."""
    return {
        f"{node}/{key}" if node else str(key): array
        for node, ds in nodes.items()
        for key, array in ds.data_vars.items()
        if len(spatial_dims(array)) > 1 and not _SPECTRAL & set(array.dims) and array.dtype.kind in "iufb"
    }


def _own_array(name: str, array: xr.DataArray) -> StoredArray:
    axes = {str(dim): Axis(array[dim].attrs["units"], values=array[dim].values) for dim in spatial_dims(array)}
    dims = tuple(str(dim) for dim in array.dims)
    variable = name.rpartition("/")[2]
    return StoredArray(name, dims, array.shape, array.dtype, load=lambda: array.data, axes=axes, variable=variable)


def _with_companions(ds: xr.Dataset, variable: str) -> xr.Dataset:
    return ds[list(dict.fromkeys([variable, *(name for name in linked(ds[variable]) if name in ds.data_vars)]))]


def _array(path: Path, name: str, array: xr.DataArray) -> StoredArray:
    dims = tuple(str(dim) for dim in array.dims)
    spectral = sorted(_SPECTRAL & set(dims))
    if spectral and CELL_METHODS not in array.attrs:
        reason = f"{name!r} has the spectral axis {spectral[0]!r} and does not say whether its values are counts"
        raise FileReadError(path, reason, hint="open it with spectra.open")
    return StoredArray(
        name=name,
        dims=dims,
        shape=array.shape,
        dtype=array.dtype,
        load=partial(_load, path, name),
        axes=_axes(array),
        doubts=_doubts(array),
        labels={dim: array[dim].values.astype(str).tolist() for dim in ("channel", "component") if dim in array.coords},
        attrs=_attrs(array),
        metadata=dict(array.attrs),
        variable=name.rpartition("/")[2],
    )


def _axes(array: xr.DataArray) -> dict[str, Axis]:
    axes = {}
    for dim in map(str, array.dims):
        wanted = SIGNAL.get(dim, units.LENGTH)
        positions = None if dim in ("channel", "component") else _positions(array, dim, wanted)
        if positions is not None:
            axes[dim] = Axis(_unit(positions), values=positions.values)
    return axes


def _doubts(array: xr.DataArray) -> dict[str, str]:
    """Return why the dims whose positions have a unit that is not known are in doubt."""
    known = _axes(array)
    own = {str(dim): _unit(array[dim]) for dim in array.dims if dim in array.coords and str(dim) not in known}
    reasons = {dim: doubt(dim, unit) for dim, unit in own.items() if unit and dim in {*SPATIAL, *SIGNAL}}
    return {dim: reason for dim, reason in reasons.items() if reason}


def _unit(coordinate: xr.DataArray) -> str:
    """Return the unit of a coordinate; of CF's ``minutes since 2020-01-01`` that before ``since``."""
    return str(coordinate.attrs.get("units", "")).partition(" since ")[0]


def _positions(array: xr.DataArray, dim: str, wanted: str) -> xr.DataArray | None:
    """Return the coordinate of a dim; where that only counts, the one other coordinate along it that has a unit."""
    along = [c for c in array.coords.values() if c.dims == (dim,) and units.is_compatible(_unit(c), wanted)]
    own = [coordinate for coordinate in along if coordinate.name == dim]
    others = [] if dim in SIGNAL else along
    return own[0] if own else others[0] if len(others) == 1 else None


def _attrs(array: xr.DataArray) -> dict[str, Any]:
    kept = {key: array.attrs[key] for key in ("units", "long_name", CELL_METHODS) if key in array.attrs}
    if not units.is_compatible(kept.get("units"), kept.get("units", "1")):
        kept.pop("units", None)
    return kept


def _load(path: Path, name: str) -> Any:
    group, _, key = name.rpartition("/")
    return groups(path)[group][key].data
