"""What a file contains: the list that `spectra.contents` shows, and the choice that `spectra.open` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import xarray as xr

from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import ConspectusError, FileReadError

Builders: TypeAlias = Mapping[str, Callable[[], xr.Dataset]]
_NOT_SPECTRAL = ("tilt", "component")


class Content(NamedTuple):
    """One item of a file.

    Parameters
    ----------
    name : str
        What `spectra.open` takes as `name`.
    technique : str
        ``"EDX"``, ``"EELS"``, ``"Raman"``, ..., ``"image"``; ``"unreadable"`` where the item cannot be labelled.
    dims : tuple of str
        In the order z, y, x, then the signal axes.
    shape : tuple of int
    units : tuple of str
        Of the coordinates, in the order of `dims`.
    fault : str, optional
        Why the item is unreadable.

    Examples
    --------
    >>> Content("EDX", "EDX", ("y", "x", "energy"), (75, 100, 2048), ("um", "um", "keV"))
    EDX: EDX, y 75 (um), x 100 (um), energy 2048 (keV)
    """

    name: str
    technique: str
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    units: tuple[str, ...] = ()
    fault: str = ""

    def __repr__(self) -> str:
        axes = (f"{dim} {size} ({unit})" for dim, size, unit in zip(self.dims, self.shape, self.units, strict=True))
        return f"{self.name}: {', '.join([self.technique, *axes])}{f' ({self.fault})' if self.fault else ''}"


def describe(builders: Builders) -> list[Content]:
    """Return the contents of a file; an item that cannot be labelled is listed with the reason."""
    return [_content(name, build) for name, build in builders.items()]


def listed(rows: Iterable[Sequence[Any]]) -> list[Content]:
    """Return contents from plain rows, as they come from another process.

    Examples
    --------
    >>> listed([["EDX", "EDX", ["energy"], [2048], ["keV"], ""]])
    [EDX: EDX, energy 2048 (keV)]
    """
    return [
        Content(name, technique, tuple(dims), tuple(shape), tuple(units), fault)
        for name, technique, dims, shape, units, fault in rows
    ]


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
        reason = f"{len(spectral) or 'none'} of its {len(builders)} items {'are' if spectral else 'is'} spectral"
        raise FileReadError(path, reason, hint=f"say which, name=... from {_listed(builders)}")
    return spectral[0]


def is_spectral(ds: xr.Dataset) -> bool:
    """Whether any variable has a signal axis: energy, wavelength, ..., or channels that are no colours."""
    dims = {str(dim) for variable in ds.data_vars.values() for dim in variable.dims}
    coloured = "channel" in ds.coords and ds["channel"].dtype.kind in "US"
    return any(dim in dims for dim in SIGNAL if dim not in _NOT_SPECTRAL and not (dim == "channel" and coloured))


def unique(names: list[str]) -> list[str]:
    """Return the names with a number where one repeats.

    Examples
    --------
    >>> unique(["HAADF", "EDS", "HAADF"])
    ['HAADF', 'EDS', 'HAADF 2']
    """
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return numbered


def _content(name: str, build: Callable[[], xr.Dataset]) -> Content:
    try:
        ds = build()
    except ConspectusError as error:
        return Content(name, "unreadable", fault=str(error))
    technique = str(ds.attrs.get("technique", "spectra" if is_spectral(ds) else "image"))
    dims = tuple(dict.fromkeys(dim for dim in (*SPATIAL, *map(str, ds.dims)) if dim in ds.dims))
    units = tuple(str(ds[dim].attrs.get("units", "1")) if dim in ds.coords else "1" for dim in dims)
    return Content(name, technique, dims, tuple(ds.sizes[dim] for dim in dims), units)


def _readable(builders: Builders) -> Iterator[xr.Dataset]:
    for build in builders.values():
        try:
            yield build()
        except ConspectusError:
            continue


def _listed(builders: Builders) -> str:
    return ", ".join(map(repr, builders))
