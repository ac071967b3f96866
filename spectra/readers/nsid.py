"""NSID files (pyNSID, HDF5): arrays whose dimension scales carry name, unit and kind."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import xarray as xr

import fusion
from fusion import units
from fusion.errors import ConventionError, FileReadError, UnitError
from fusion.files.hdf5 import opened
from fusion.model import Axis
from fusion.reading.contents import Builders, unique
from fusion.reading.metadata import text
from spectra.attributes import flat_attrs, variable_of
from spectra.axes import dim_name

_MARKS: Final = ("data_type", "quantity")
_POSITION: Final = "channel_value"


def is_nsid(file: h5py.File) -> bool:
    """Whether an open HDF5 file has arrays labelled in the manner of NSID."""
    return bool(_places(file))


def builders(path: Path) -> Builders:
    """Return the arrays of a file by name.

    Parameters
    ----------
    path : Path
    """
    with opened(path) as file:
        places = _places(file)
    names = unique([place.rpartition("/")[2] for place in places])
    return {name: partial(_build, path, place, name) for name, place in zip(names, places, strict=True)}


def _places(file: h5py.File) -> list[str]:
    found: list[str] = []

    def look(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset) and all(mark in entry.attrs for mark in _MARKS):
            found.append(name)

    file.visititems(look)
    return [name for name in found if all(len(dim) for dim in file[name].dims)]


def _build(path: Path, place: str, name: str) -> xr.Dataset:
    with opened(path) as file:
        try:
            return _labelled(file[place], name, path.stem)
        except (ConventionError, UnitError) as error:
            raise FileReadError(path, f"item {name!r}: {error}") from error


def _labelled(array: h5py.Dataset, name: str, frame: str) -> xr.Dataset:
    scales = [dim[0] for dim in array.dims]
    dims = tuple(_dim(scale) for scale in scales)
    axes = {dim: _axis(dim, scale) for dim, scale in zip(dims, scales, strict=True)}
    variable, method = variable_of(dims, array.dtype)
    # the unit in the file is that of the plain quantity even where its logarithm is stored
    said = {"units": "1", "long_name": f"{_text(array, 'quantity')} ({_bare(_text(array, 'units'))})"}
    metadata = {"General": {"title": name}}
    original = {key: array.attrs[key] for key in array.attrs if key not in ("DIMENSION_LIST", "REFERENCE_LIST")}
    ds = fusion.dataset(
        {variable: (dims, array[...], said)},
        axes,
        name=name,
        cell_methods=method,
        frame=frame,
        attrs=flat_attrs(metadata, original, dims),
    )
    if "channel" not in dims:
        return ds
    return fusion.check(ds.assign_coords({_POSITION: _position(scales[dims.index("channel")])}))


def _dim(scale: h5py.Dataset) -> str:
    """Return the dim of a scale; a spectral one without a standard name runs along channels."""
    try:
        return dim_name(_text(scale, "name"), _bare(_text(scale, "units")))
    except UnitError:
        if _text(scale, "dimension_type") == "SPECTRAL":
            return "channel"
        raise


def _axis(dim: str, scale: h5py.Dataset) -> Axis | np.ndarray[Any, Any]:
    if dim == "channel":
        return np.arange(scale.size)
    return Axis(_bare(_text(scale, "units")), values=scale[...])


def _position(scale: h5py.Dataset) -> xr.Variable:
    """Return what the channels stand for, e.g. a root of an electric field, as a further coordinate."""
    unit = units.parse(_bare(_text(scale, "units")))
    long_name = f"{_text(scale, 'quantity')}, {_bare(_text(scale, 'name'))}"
    return xr.Variable(("channel",), scale[...], {"units": unit, "long_name": long_name})


def _text(entry: h5py.Dataset, key: str) -> str:
    return text(entry.attrs.get(key, ""))


def _bare(text: str) -> str:
    """Return a text without the marks of TeX: ``"$(V/m)^{0.5}$"`` is ``"(V/m)^0.5"``."""
    return text.translate(str.maketrans("", "", "${}\\"))
