"""NeXus files (HDF5): each NXdata group, whose attributes name the signal and an axis for each of its dimensions.

The rules are those of the class NXdata in the NeXus manual (version 3, and `signal` and `axes` on the field itself as
in version 2): an axis belongs to the dimension that ``@AXISNAME_indices`` gives, or to that of its position in
``@axes``; one value more than there are pixels are the edges of bins.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from fusion import units
from fusion.errors import ConventionError, UnitError
from fusion.files.hdf5 import LazyArray, opened
from fusion.model import Axis
from fusion.reading.contents import unique
from fusion.reading.metadata import text
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.attributes import technique, variable_of
from spectra.axes import dim_name, parse_unit

_TECHNIQUES: Final = {"NXxas": "XANES", "NXxasproc": "XANES", "NXfluo": "XRF", "NXxrf": "XRF"}
_ELECTRONS: Final = ("NXarpes", "NXmpes", "NXxps")
_COUNTED: Final = ("channel", "component", "detector")
_LONGEST: Final = 1000
_STEPS: Final = 8  # a chain of @default is root, entry, subentry, data


def is_nexus(file: h5py.File) -> bool:
    """Whether an open HDF5 file has a group of the class NXdata."""
    return bool(_groups(file))


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """Return the signal of each NXdata group, by the name of the group.

    Parameters
    ----------
    path : Path
    """
    with opened(path) as file:
        return [
            readable(path, name, partial(_described, path, file[group], name)) for group, name in _names(file).items()
        ]


def default(path: Path) -> str | None:
    """Return the name of the item that the chain of ``@default`` leads to, or None if there is none.

    Parameters
    ----------
    path : Path
        A file that `arrays` reads.
    """
    with opened(path) as file:
        group: Any = file
        for _ in range(_STEPS):
            if not isinstance(group, h5py.Group) or "default" not in group.attrs:
                break
            group = group.get(_text(group.attrs["default"]))
        return _names(file).get(str(group.name).strip("/")) if isinstance(group, h5py.Group) else None


def _names(file: h5py.File) -> dict[str, str]:
    """Return the name of the item for the path of each NXdata group."""
    groups = _groups(file)
    return dict(zip(groups, unique([group.rpartition("/")[2] for group in groups]), strict=True))


def _groups(file: h5py.File) -> list[str]:
    groups: list[str] = []

    def visit(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Group) and _class(entry) == "NXdata" and _signal(entry):
            groups.append(name)

    file.visititems(visit)
    return groups


def _described(path: Path, group: h5py.Group, name: str) -> StoredArray:
    signal = group.get(_signal(group))
    if not isinstance(signal, h5py.Dataset) or signal.dtype.kind not in "iufb" or not signal.ndim:
        raise ConventionError([f"its signal {_signal(group)!r} is no array of numbers"])
    scales = _scales(group, signal)
    dims = tuple(_dim(scale) for scale in scales)
    repeated = sorted({dim for dim in dims if dims.count(dim) > 1})
    if repeated:
        raise ConventionError([f"{dim}: more than one axis is called so" for dim in repeated])
    sized = zip(dims, scales, signal.shape, strict=True)
    entry = _entry(group, dims)
    counted = entry["dataset_attrs"]["technique"] == "XRF" or "count" in f"{signal.name} {_unit(signal)}".lower()
    variable, method = variable_of(dims, signal.dtype, counted=counted)
    return StoredArray(
        name=name,
        dims=dims,
        shape=signal.shape,
        dtype=signal.dtype,
        load=partial(_lazy, LazyArray(path, str(signal.name), signal.shape, signal.dtype)),
        axes={dim: _axis(dim, scale, size) for dim, scale, size in sized if dim not in _COUNTED},
        attrs=_signal_attrs(signal, variable),
        cell_method=method,
        variable=variable,
        **entry,
    )


def _signal(group: h5py.Group) -> str:
    """Return the name of the signal: an attribute of the group, or in old files the field that is marked so."""
    if "signal" in group.attrs:
        return _text(group.attrs["signal"])
    return next((name for name in group if _text(_attributes(group, name).get("signal", "")) == "1"), "")


def _scales(group: h5py.Group, signal: h5py.Dataset) -> list[h5py.Dataset]:
    """Return the axis of each dimension of the signal."""
    attribute = group.attrs.get("axes", signal.attrs.get("axes"))
    listed = _texts(attribute) if attribute is not None else []
    names: dict[int, str] = {}
    for position, name in enumerate(listed):
        indices = np.atleast_1d(group.attrs.get(f"{name}_indices", position))
        if name != "." and len(indices) == 1 and isinstance(group.get(name), h5py.Dataset):
            names.setdefault(int(indices[0]), name)
    missing = [index for index in range(signal.ndim) if index not in names]
    if missing:
        raise ConventionError(
            [f"dimension {at} of the signal, {signal.shape[at]} long, has no axis of its own" for at in missing]
            + [f"@axes names {listed or 'none'}; each dimension needs a named one with units"]
        )
    return [group[names[index]] for index in range(signal.ndim)]


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


def _axis(dim: str, scale: h5py.Dataset, size: int) -> Axis:
    if scale.ndim != 1 or scale.shape[0] not in (size, size + 1) or scale.dtype.kind not in "iuf":
        name = str(scale.name).rpartition("/")[2]
        raise ConventionError([f"{dim}: the axis {name!r} is {scale.dtype} {scale.shape} for {size} pixels"])
    values = scale[...].astype(np.float64)
    return Axis(parse_unit(_unit(scale)), values=values if len(values) == size else (values[1:] + values[:-1]) / 2.0)


def _signal_attrs(signal: h5py.Dataset, variable: str) -> dict[str, str]:
    """Return the attributes of the values; a unit that nobody knows is kept in words."""
    name, unit = str(signal.name).rpartition("/")[2], _unit(signal) or ""
    long_name = _text(signal.attrs.get("long_name", name))
    if variable == "counts":
        return {"units": "count", "long_name": long_name}
    with suppress(UnitError):
        return {"units": units.parse(unit), "long_name": long_name}
    return {"units": "1", "long_name": f"{long_name} ({unit})"}


def _lazy(signal: LazyArray) -> Any:
    import dask.array as da

    return da.from_array(signal, chunks="auto", asarray=False)


def _entry(group: h5py.Group, dims: tuple[str, ...]) -> dict[str, Any]:
    """Return the technique, and everything that the entry says in single numbers and texts."""
    entry = group
    while entry.name != "/" and _class(entry) not in ("NXentry", "NXsubentry"):
        entry = entry.parent
    fields: dict[str, Any] = {}

    def note(name: str, field: object) -> None:
        if isinstance(field, h5py.Dataset) and field.size == 1 and field.dtype.itemsize <= _LONGEST:
            with suppress(TypeError, UnicodeDecodeError):
                fields[name] = _plain(field[()])

    entry.visititems(note)
    definition = str(fields.get("definition", ""))
    if "energy" in dims and definition.startswith(_ELECTRONS):
        raise UnitError(
            f"its energy is that of electrons ({definition}); only that of X-rays and energy losses are dims"
        )
    known = _TECHNIQUES.get(definition, technique("", dims))
    return {"dataset_attrs": {"technique": known}, "metadata": fields}


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
