"""Delmic HDF5 files (Odemis): cathodoluminescence maps, concurrent and survey SE images on one stage.

Odemis stores, for each acquisition, the pixel size and the position of the *centre* of the image in metres, in a
physical frame whose y axis points up while the rows of the array go down: row 0 has the largest y (Odemis,
``dataio/hdf5.py`` and the description of ``MD_POS`` in its ``model`` package). Coordinates made here are relative
to the centre of the image, y upwards: the rows are turned over, values and all. The pose puts the centre, and the
rotation about it (counter-clockwise, as drawn with y upwards), into the frame "stage", whose y points up as well.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import xarray as xr

import fusion
from fusion.errors import ConventionError, FileReadError, UnitError
from fusion.files.hdf5 import opened
from fusion.model import Axis
from fusion.reading.contents import Builders, unique
from fusion.reading.stage import STAGE
from spectra.attributes import flat_attrs, variable_of

_METRE: Final = 1e6
_INVALID: Final = 111
_MEASURED: Final = (114, 115)
_DIMS: Final = {"C": "wavelength", "T": "time", "A": "channel", "Z": "z", "Y": "y", "X": "x"}


def is_delmic(file: h5py.File) -> bool:
    """Whether an open HDF5 file has the groups that Odemis writes."""
    return any(name.startswith("Acquisition") and "ImageData/Image" in file[name] for name in file)


def builders(path: Path) -> Builders:
    """Return the acquisitions of a file by title.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the file cannot be opened.
    """
    with opened(path) as file:
        groups = [name for name in file if name.startswith("Acquisition") and "ImageData/Image" in file[name]]
        titles = unique([_title(file[name]) for name in groups])
    return {title: partial(_build, path, group, title) for title, group in zip(titles, groups, strict=True)}


def _build(path: Path, group: str, title: str) -> xr.Dataset:
    with opened(path) as file:
        try:
            return _labelled(file[group], title)
        except (ConventionError, UnitError, KeyError) as error:
            raise FileReadError(path, f"item {title!r}: {error}") from error


def _labelled(group: h5py.Group, title: str) -> xr.Dataset:
    image = group["ImageData/Image"]
    stored = [label.label for label in image.dims] or list("CTZYX")[-image.ndim :]
    kept = [index for index, size in enumerate(image.shape) if size > 1 or stored[index] in "YX"]
    dims = tuple(_DIMS.get(stored[index], stored[index]) for index in kept)
    sizes = dict(zip(dims, (image.shape[index] for index in kept), strict=True))
    data = np.squeeze(image[...], tuple(index for index in range(image.ndim) if index not in kept))
    axes = {dim: _axis(group["ImageData"], dim, sizes[dim]) for dim in dims}
    name, method = variable_of(dims, data.dtype)
    pose, frame = _pose(group["ImageData"], title)
    return fusion.dataset(
        {name: (dims, data, {"units": "count" if name == "intensity" else "1"})},
        axes,
        name=title,
        cell_methods=method,
        pose=pose,
        frame=frame,
        attrs=_attrs(group, dims, title),
    )


def _axis(data: h5py.Group, dim: str, size: int) -> Axis | np.ndarray[Any, Any]:
    if dim == "channel":
        return np.arange(size)
    letter = next(key for key, value in _DIMS.items() if value == dim)
    scale = data.get(f"DimensionScale{letter}")
    if scale is None:
        return Axis("px", step=1.0) if dim in "zyx" else np.arange(size)
    unit = str(scale.attrs.get("UNIT", "m"))
    if scale.shape == (size,) and size > 1:
        return Axis(unit, values=scale[...])
    step = float(scale[()])
    if dim in "zyx":
        upwards = -step if dim == "y" else step
        return Axis(unit, step=upwards, offset=-upwards * (size - 1) / 2.0)
    return Axis(unit, step=step, offset=float(data[f"{letter}Offset"][()]))


def _pose(data: h5py.Group, title: str) -> tuple[fusion.Affine | None, str]:
    """Return where the centre lies on the stage, and how it is turned; a sheared image is left in a frame of its own.

    ``Rotation`` is a rotation vector x, y, z: right-handed about its direction, by its length in radians. A z that
    nobody measured is marked so.
    """
    if "XOffset" not in data or "YOffset" not in data or _sheared(data):
        return None, title
    place = {dim: float(data[f"{dim.upper()}Offset"][()]) * _METRE for dim in "yx"}
    if "ZOffset" in data and int(data["ZOffset"].attrs.get("State", 0)) in _MEASURED:
        place["z"] = float(data["ZOffset"][()]) * _METRE
    vector = np.asarray(data["Rotation"][...] if "Rotation" in data else np.zeros(3), dtype=float)
    turned = bool(vector.any())
    turn = fusion.Affine.rotation(float(np.rad2deg(np.linalg.norm(vector))), axis=vector[::-1]) if turned else None
    centre = fusion.Affine.translation(**place)
    return centre @ turn if turn else centre, STAGE


def _sheared(data: h5py.Group) -> bool:
    return "Shear" in data and bool(np.any(data["Shear"][...]))


def _attrs(group: h5py.Group, dims: tuple[str, ...], title: str) -> dict[str, Any]:
    physical = {name: _value(entry) for name, entry in group["PhysicalData"].items() if _is_known(entry)}
    vendor = {name: _value(entry) for name, entry in group.get("SVIData", {}).items()}
    signal_type = "CL_SEM" if "wavelength" in dims else ""
    metadata = {"General": {"title": title}, "Signal": {"signal_type": signal_type}}
    found = flat_attrs(metadata, {"PhysicalData": physical, "SVIData": vendor}, dims)
    return {"instrument": str(vendor.get("Company", "Delmic")), **found}


def _is_known(entry: Any) -> bool:
    if not isinstance(entry, h5py.Dataset):
        return False
    return bool(np.all(entry.attrs.get("State", 0) != _INVALID))


def _value(entry: h5py.Dataset) -> Any:
    value = entry[()]
    value = value[0] if getattr(value, "shape", ()) == (1,) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _title(group: h5py.Group) -> str:
    title = group.get("PhysicalData/Title")
    text = "" if title is None else title[()].decode("utf-8", "replace")
    return text or str(group.name).strip("/")
