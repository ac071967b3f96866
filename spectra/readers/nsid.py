"""NSID files (pyNSID, HDF5): arrays whose dimension scales carry name, unit and kind."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from fusion import units
from fusion.errors import UnitError
from fusion.files.hdf5 import opened
from fusion.model import Axis
from fusion.reading.contents import unique
from fusion.reading.metadata import text
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.attributes import flat_attrs, variable_of
from spectra.axes import dim_name

_MARKS: Final = ("data_type", "quantity")
_POSITION: Final = "channel_value"


def is_nsid(file: h5py.File) -> bool:
    """Whether an open HDF5 file has arrays labelled in the manner of NSID."""
    return bool(_paths(file))


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """Return the arrays of a file by name.

    Parameters
    ----------
    path : Path
    """
    with opened(path) as file:
        paths = _paths(file)
        names = unique([inner.rpartition("/")[2] for inner in paths])
        return [
            readable(path, name, partial(_described, path, file[inner], name))
            for name, inner in zip(names, paths, strict=True)
        ]


def _paths(file: h5py.File) -> list[str]:
    paths: list[str] = []

    def visit(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset) and all(mark in entry.attrs for mark in _MARKS):
            paths.append(name)

    file.visititems(visit)
    return [name for name in paths if all(len(dim) for dim in file[name].dims)]


def _described(path: Path, array: h5py.Dataset, name: str) -> StoredArray:
    scales = [dim[0] for dim in array.dims]
    dims = tuple(_dim(scale) for scale in scales)
    variable, method = variable_of(
        dims, array.dtype, counted=units.is_compatible(_bare(_text(array, "units")), "count")
    )
    metadata = {"General": {"title": name}}
    original = {key: array.attrs[key] for key in array.attrs if key not in ("DIMENSION_LIST", "REFERENCE_LIST")}
    return StoredArray(
        name=name,
        dims=dims,
        shape=array.shape,
        dtype=array.dtype,
        load=partial(_read, path, str(array.name)),
        axes={dim: _axis(scale) for dim, scale in zip(dims, scales, strict=True) if dim != "channel"},
        coords={_POSITION: _position(scales[dims.index("channel")])} if "channel" in dims else {},
        # the unit in the file is that of the plain quantity even where its logarithm is stored
        attrs={"units": "1", "long_name": f"{_text(array, 'quantity')} ({_bare(_text(array, 'units'))})"},
        cell_method=method,
        dataset_attrs=flat_attrs(metadata, original, dims),
        variable=variable,
    )


def _read(path: Path, name: str) -> np.ndarray[Any, Any]:
    with opened(path, arrays=[name]) as file:
        return np.asarray(file[name][...])


def _dim(scale: h5py.Dataset) -> str:
    """Return the dim of a scale; a spectral one without a standard name runs along channels."""
    try:
        return dim_name(_text(scale, "name"), _bare(_text(scale, "units")))
    except UnitError:
        if _text(scale, "dimension_type") == "SPECTRAL":
            return "channel"
        raise


def _axis(scale: h5py.Dataset) -> Axis:
    return Axis(_bare(_text(scale, "units")), values=scale[...])


def _position(scale: h5py.Dataset) -> tuple[Any, ...]:
    """Return what the channels stand for, e.g. a root of an electric field, as a further coordinate."""
    unit = units.parse(_bare(_text(scale, "units")))
    long_name = f"{_text(scale, 'quantity')}, {_bare(_text(scale, 'name'))}"
    return ("channel",), scale[...], {"units": unit, "long_name": long_name}


def _text(entry: h5py.Dataset, key: str) -> str:
    return text(entry.attrs.get(key, ""))


def _bare(text: str) -> str:
    """Return a text without the marks of TeX: ``"$(V/m)^{0.5}$"`` is ``"(V/m)^0.5"``."""
    return text.translate(str.maketrans("", "", "${}\\"))
