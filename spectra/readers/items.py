"""The items of a spectral file: the list that `spectra.contents` shows, and the choice that `spectra.open` makes.

An item is what one dataset is made of: the stored arrays of one name, or a dataset that `fusion.save` wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import xarray as xr

from fusion.conventions import SIGNAL, SPATIAL, spatial_dims
from fusion.errors import ConspectusError, ConventionError, FileReadError, UnitError
from fusion.reading.assembly import assembled
from fusion.reading.contents import UNREADABLE, Content
from fusion.reading.opening import damage_reported, without_values
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.axes import require_x_rays

Item: TypeAlias = xr.Dataset | Sequence[StoredArray | Unreadable]
_NOT_SPECTRAL = ("tilt", "component")
_PLANE = 2


def labelled(path: Path, name: str, item: Item, *, values: bool = True) -> xr.Dataset:
    """Return an item as a dataset; without its values, nothing of them is read.

    Raises
    ------
    FileReadError
        If it cannot be labelled.
    """
    if isinstance(item, xr.Dataset):
        return item
    for array in item:
        if isinstance(array, Unreadable):
            raise array.error
    arrays = [array for array in item if isinstance(array, StoredArray)]
    with damage_reported(path):
        try:
            chosen = arrays if values else [without_values(array) for array in arrays]
            return require_x_rays(assembled(chosen, title=name, frame=path.stem))
        except (ConventionError, UnitError) as error:
            raise FileReadError(path, f"item {name!r}: {error}") from error


def describe(path: Path, items: Mapping[str, Item]) -> list[Content]:
    """Return the contents of a file; an item that cannot be labelled is listed with the reason."""
    return [_content(path, name, item) for name, item in items.items()]


def choose(path: Path, items: Mapping[str, Item]) -> str:
    """Return the name of the one item that is meant if none is named: the only one, the only spectra, the only map.

    Raises
    ------
    FileReadError
        If several could be meant, or none can be labelled.
    """
    if len(items) == 1:
        return next(iter(items))
    if not items:
        raise FileReadError(path, "it holds nothing that is spectral", hint="images open with volumes.open")
    readable, faults = _readable(path, items)
    spectra = {name: ds for name, ds in readable.items() if is_spectral(ds)}
    if faults and not spectra:
        raise faults[0]
    maps = [name for name, ds in spectra.items() if len(spatial_dims(ds)) >= _PLANE]
    if len(spectra) == 1 or len(maps) == 1:
        return maps[0] if maps else next(iter(spectra))
    reason = f"{len(spectra) or 'none'} of its {len(items)} items {'are' if spectra else 'is'} spectral"
    if 0 < len(maps) < len(spectra):
        reason += f", and {len(maps)} are maps"
    raise FileReadError(path, reason, hint=f"say which, name=... from {listed(items)}")


def listed(items: Mapping[str, Item]) -> str:
    """Return the names of items, for an error."""
    return ", ".join(map(repr, items))


def is_spectral(ds: xr.Dataset) -> bool:
    """Whether any variable has a signal axis: energy, wavelength, ..., or channels that are no colours."""
    dims = {str(dim) for variable in ds.data_vars.values() for dim in variable.dims}
    coloured = "channel" in ds.coords and ds["channel"].dtype.kind in "US"
    return any(dim in dims for dim in SIGNAL if dim not in _NOT_SPECTRAL and not (dim == "channel" and coloured))


def _content(path: Path, name: str, item: Item) -> Content:
    try:
        ds = labelled(path, name, item, values=False)
    except ConspectusError as error:
        return Content(name, UNREADABLE, fault=str(error))
    technique = str(ds.attrs.get("technique", "spectra" if is_spectral(ds) else "image"))
    dims = tuple(dict.fromkeys(dim for dim in (*SPATIAL, *map(str, ds.dims)) if dim in ds.dims))
    units = tuple(str(ds[dim].attrs.get("units", "1")) if dim in ds.coords else "1" for dim in dims)
    shape = tuple(ds.sizes[dim] for dim in dims)
    widest = max(ds.data_vars.values(), key=lambda array: array.ndim)
    return Content(name, technique, dims, shape, str(widest.dtype), units)


def _readable(path: Path, items: Mapping[str, Item]) -> tuple[dict[str, xr.Dataset], list[ConspectusError]]:
    """Return the datasets, without values, of the items that can be labelled, and why the others cannot."""
    datasets, faults = {}, []
    for name, item in items.items():
        try:
            datasets[name] = labelled(path, name, item, values=False)
        except ConspectusError as error:
            faults.append(error)
    return datasets, faults
