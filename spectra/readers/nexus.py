"""NeXus files (HDF5): each NXdata group, whose attributes name the signal and an axis for each of its dimensions.

The rules are those of the class NXdata in the NeXus manual (version 3, and `signal` and `axes` on the field itself as
in version 2): an axis belongs to the dimension that ``@AXISNAME_indices`` gives, or to that of its place in ``@axes``;
one value more than there are pixels are the edges of bins.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import units
from fusion.errors import ConventionError, FileReadError, UnitError
from fusion.files.hdf5 import opened
from fusion.model import Axis
from fusion.reading.contents import Builders, unique
from fusion.reading.metadata import as_json, text
from spectra.attributes import technique, variable_of
from spectra.axes import dim_name

_TECHNIQUES: Final = {"NXxas": "XANES", "NXxasproc": "XANES", "NXfluo": "XRF", "NXxrf": "XRF"}
_ELECTRONS: Final = ("NXarpes", "NXmpes", "NXxps")
_COUNTED: Final = ("channel", "component", "detector")
_LONGEST: Final = 1000
_STEPS: Final = 8  # a chain of @default is root, entry, subentry, data

Array: TypeAlias = npt.NDArray[Any]


def is_nexus(file: h5py.File) -> bool:
    """Whether an open HDF5 file has a group of the class NXdata."""
    return bool(_places(file))


def builders(path: Path) -> Builders:
    """Return the NXdata groups of a file by name.

    Parameters
    ----------
    path : Path
    """
    with opened(path) as file:
        names = _names(file)
    return {name: partial(_build, path, place, name) for place, name in names.items()}


def default(path: Path) -> str | None:
    """Return the name of the item that the chain of ``@default`` leads to, or None if there is none.

    Parameters
    ----------
    path : Path
        A file that `builders` reads.
    """
    with opened(path) as file:
        group: Any = file
        for _ in range(_STEPS):
            if not isinstance(group, h5py.Group) or "default" not in group.attrs:
                break
            group = group.get(_text(group.attrs["default"]))
        return _names(file).get(str(group.name).strip("/")) if isinstance(group, h5py.Group) else None


def _names(file: h5py.File) -> dict[str, str]:
    places = _places(file)
    return dict(zip(places, unique([place.rpartition("/")[2] for place in places]), strict=True))


def _places(file: h5py.File) -> list[str]:
    found: list[str] = []

    def look(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Group) and _class(entry) == "NXdata" and _signal(entry):
            found.append(name)

    file.visititems(look)
    return found


def _build(path: Path, place: str, name: str) -> xr.Dataset:
    with opened(path) as file:
        try:
            return _labelled(path, file[place], name)
        except (ConventionError, UnitError) as error:
            raise FileReadError(path, f"item {name!r}: {error}") from error


def _labelled(path: Path, group: h5py.Group, name: str) -> xr.Dataset:
    signal = group.get(_signal(group))
    if not isinstance(signal, h5py.Dataset) or signal.dtype.kind not in "iufb" or not signal.ndim:
        raise ConventionError([f"its signal {_signal(group)!r} is no array of numbers"])
    scales = _scales(group, signal)
    dims = tuple(_dim(scale) for scale in scales)
    repeated = sorted({dim for dim in dims if dims.count(dim) > 1})
    if repeated:
        raise ConventionError([f"{dim}: more than one axis is called so" for dim in repeated])
    axes = {dim: _axis(dim, scale, size) for dim, scale, size in zip(dims, scales, signal.shape, strict=True)}
    variable, method = variable_of(dims, signal.dtype)
    return fusion.dataset(
        {variable: (dims, _lazy(path, signal), _said(signal, variable))},
        axes,
        name=name,
        cell_methods=method,
        frame=path.stem,
        attrs=_attrs(group, dims),
    )


def _signal(group: h5py.Group) -> str:
    """Return the name of the signal: an attribute of the group, or in old files the field that is marked so."""
    if "signal" in group.attrs:
        return _text(group.attrs["signal"])
    return next((name for name in group if _text(_attributes(group, name).get("signal", "")) == "1"), "")


def _scales(group: h5py.Group, signal: h5py.Dataset) -> list[h5py.Dataset]:
    """Return the axis of each dimension of the signal."""
    said = group.attrs.get("axes", signal.attrs.get("axes"))
    listed = _texts(said) if said is not None else []
    found: dict[int, str] = {}
    for place, name in enumerate(listed):
        indices = np.atleast_1d(group.attrs.get(f"{name}_indices", place))
        if name != "." and len(indices) == 1 and isinstance(group.get(name), h5py.Dataset):
            found.setdefault(int(indices[0]), name)
    missing = [index for index in range(signal.ndim) if index not in found]
    if missing:
        raise ConventionError(
            [f"dimension {at} of the signal, {signal.shape[at]} long, has no axis of its own" for at in missing]
            + [f"@axes names {listed or 'none'}; each dimension needs a named one with units"]
        )
    return [group[found[index]] for index in range(signal.ndim)]


def _dim(scale: h5py.Dataset) -> str:
    name, unit = str(scale.name).rpartition("/")[2], _unit(scale)
    try:
        dim = dim_name(name, unit)
    except UnitError:
        dim = dim_name(_text(scale.attrs.get("long_name", name)), unit)
    numbered = name.lower().rstrip("s") in _COUNTED
    if (dim in _COUNTED and not numbered) or (dim not in _COUNTED and unit is None):
        raise UnitError(f"axis {name!r} has no units (received {unit!r}); write its attribute 'units', e.g. 'mm'")
    return dim


def _axis(dim: str, scale: h5py.Dataset, size: int) -> Axis | Array:
    if dim in _COUNTED:
        return np.arange(size)
    if scale.ndim != 1 or scale.shape[0] not in (size, size + 1) or scale.dtype.kind not in "iuf":
        name = str(scale.name).rpartition("/")[2]
        raise ConventionError([f"{dim}: the axis {name!r} is {scale.dtype} {scale.shape} for {size} pixels"])
    values = scale[...].astype(np.float64)
    return Axis(str(_unit(scale)), values=values if len(values) == size else (values[1:] + values[:-1]) / 2.0)


def _said(signal: h5py.Dataset, variable: str) -> dict[str, str]:
    """Return the attributes of the values; a unit that nobody knows is kept in words."""
    name, unit = str(signal.name).rpartition("/")[2], _unit(signal) or ""
    long_name = _text(signal.attrs.get("long_name", name))
    if variable == "counts":
        return {"units": "count", "long_name": long_name}
    with suppress(UnitError):
        return {"units": units.parse(unit), "long_name": long_name}
    return {"units": "1", "long_name": f"{long_name} ({unit})"}


def _lazy(path: Path, signal: h5py.Dataset) -> Any:
    import dask.array as da

    return da.from_array(_Stored(path, signal), chunks="auto", asarray=False)


class _Stored:
    """An array of a file that is open only while it is read."""

    def __init__(self, path: Path, array: h5py.Dataset) -> None:
        self.path, self.place = path, str(array.name)
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key: Any) -> Array:
        with opened(self.path) as file:
            return np.asarray(file[self.place][key])


def _attrs(group: h5py.Group, dims: tuple[str, ...]) -> dict[str, Any]:
    """Return the technique and everything that the entry says in single numbers and texts."""
    entry = group
    while entry.name != "/" and _class(entry) not in ("NXentry", "NXsubentry"):
        entry = entry.parent
    said: dict[str, Any] = {}

    def note(name: str, field: object) -> None:
        if isinstance(field, h5py.Dataset) and field.size == 1 and field.dtype.itemsize <= _LONGEST:
            with suppress(TypeError, UnicodeDecodeError):
                said[name] = _plain(field[()])

    entry.visititems(note)
    definition = str(said.get("definition", ""))
    if "energy" in dims and definition.startswith(_ELECTRONS):
        raise UnitError(
            f"its energy is that of electrons ({definition}); only that of X-rays and energy losses are dims"
        )
    return {"technique": _TECHNIQUES.get(definition, technique("", dims)), "original_metadata": as_json(said)}


def _plain(value: Any) -> Any:
    value = np.asarray(value).reshape(-1)[0]
    return _text(value) if isinstance(value, (bytes, str)) else np.asarray(value).item()


def _class(group: h5py.Group) -> str:
    return _text(group.attrs.get("NX_class", ""))


def _attributes(group: h5py.Group, name: str) -> Any:
    entry = group.get(name)
    return entry.attrs if isinstance(entry, h5py.Dataset) else {}


def _unit(field: h5py.Dataset) -> str | None:
    return _text(field.attrs["units"]) if "units" in field.attrs else None


def _text(value: Any) -> str:
    value = np.asarray(value).reshape(-1)[0] if np.size(value) == 1 else value
    return text(value)


def _texts(value: Any) -> list[str]:
    """Return names as a list: an array of texts, or one text with ``:`` or ``,`` between them."""
    if np.size(value) == 1:
        return [name for name in re.split(r"[:,\[\]\s]+", _text(value)) if name]
    return [_text(name) for name in np.asarray(value)]
