"""What a file contains: the list that `spectra.contents` shows, and the choice that `spectra.open` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import xarray as xr

from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import ConspectusError, FileReadError
from fusion.reading.contents import UNREADABLE, Builders, Content

_NOT_SPECTRAL = ("tilt", "component")


def describe(builders: Builders) -> list[Content]:
    """Return the contents of a file; an item that cannot be labelled is listed with the reason."""
    return [_content(name, build) for name, build in builders.items()]


def choose(path: Path, builders: Builders, name: str | None) -> xr.Dataset:
    """Build the item called `name`, or the one spectral item.

    Raises
    ------
    FileReadError
        If there is no such item, or `name` is left out and several could be meant.
    """
    if name is not None:
        if name not in builders:
            raise FileReadError(path, f"there is no item {name!r}", hint=f"it contains {_listed(builders)}")
        return builders[name]()
    if len(builders) == 1:
        return next(iter(builders.values()))()
    spectral = [ds for ds in _readable(builders) if is_spectral(ds)]
    if len(spectral) != 1:
        if not builders:
            raise FileReadError(path, "it holds nothing that is spectral", hint="images open with volumes.open")
        reason = f"{len(spectral) or 'none'} of its {len(builders)} items {'are' if spectral else 'is'} spectral"
        raise FileReadError(path, reason, hint=f"say which, name=... from {_listed(builders)}")
    return spectral[0]


def is_spectral(ds: xr.Dataset) -> bool:
    """Whether any variable has a signal axis: energy, wavelength, ..., or channels that are no colours."""
    dims = {str(dim) for variable in ds.data_vars.values() for dim in variable.dims}
    coloured = "channel" in ds.coords and ds["channel"].dtype.kind in "US"
    return any(dim in dims for dim in SIGNAL if dim not in _NOT_SPECTRAL and not (dim == "channel" and coloured))


def _content(name: str, build: Callable[[], xr.Dataset]) -> Content:
    try:
        ds = build()
    except ConspectusError as error:
        return Content(name, UNREADABLE, fault=str(error))
    technique = str(ds.attrs.get("technique", "spectra" if is_spectral(ds) else "image"))
    dims = tuple(dict.fromkeys(dim for dim in (*SPATIAL, *map(str, ds.dims)) if dim in ds.dims))
    units = tuple(str(ds[dim].attrs.get("units", "1")) if dim in ds.coords else "1" for dim in dims)
    shape = tuple(ds.sizes[dim] for dim in dims)
    widest = max(ds.data_vars.values(), key=lambda array: array.ndim)
    return Content(name, technique, dims, shape, str(widest.dtype), units)


def _readable(builders: Builders) -> Iterator[xr.Dataset]:
    for build in builders.values():
        try:
            yield build()
        except ConspectusError:
            continue


def _listed(builders: Builders) -> str:
    return ", ".join(map(repr, builders))
