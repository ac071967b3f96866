"""Delmic HDF5 files (Odemis): cathodoluminescence maps, concurrent and survey SE images on one stage.

Odemis stores, for each acquisition, the pixel size and the position of the *centre* of the image in metres, in a
physical frame whose y axis points up while the rows of the array go down: row 0 has the largest y (Odemis,
``dataio/hdf5.py`` and the description of ``MD_POS`` in its ``model`` package). Coordinates made here are relative
to the centre of the image, y upwards: the rows are turned over, values and all. The pose puts the centre, and the
rotation about it (counter-clockwise, as drawn with y upwards), into the frame "stage", whose y points up as well.
An angle-resolved image, which shows a mirror and no specimen, counts pixels in a frame of its own; spectra that are
resolved by angle or time lie on the scan, with their angles as ``emission_angle`` along ``channel``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

import fusion
from fusion import units
from fusion.files.hdf5 import opened
from fusion.model import Axis
from fusion.reading.contents import unique
from fusion.reading.opening import readable
from fusion.reading.stage import STAGE
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.attributes import flat_attrs, variable_of

_METRE: Final = 1e6
_INVALID: Final = 111
_MEASURED: Final = (114, 115)
_MIRROR: Final = ("PolePosition", "ParabolaF")
_DIMS: Final = {"C": "wavelength", "T": "time", "A": "channel", "Z": "z", "Y": "y", "X": "x"}


def is_delmic(file: h5py.File) -> bool:
    """Whether an open HDF5 file has the groups that Odemis writes."""
    return any(name.startswith("Acquisition") and "ImageData/Image" in file[name] for name in file)


def arrays(path: Path) -> list[StoredArray | Unreadable]:
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
        groups = [file[name] for name in file if name.startswith("Acquisition") and "ImageData/Image" in file[name]]
        titles = unique([_title(group) for group in groups])
        return [
            readable(path, title, partial(_described, path, group, title))
            for title, group in zip(titles, groups, strict=True)
        ]


def _described(path: Path, group: h5py.Group, title: str) -> StoredArray:
    image = group["ImageData/Image"]
    letters = [label.label for label in image.dims] or list("CTZYX")[-image.ndim :]
    kept = [index for index, size in enumerate(image.shape) if size > 1 or letters[index] in "YX"]
    dims = tuple(_dim(image.parent, letters[index]) for index in kept)
    shape = tuple(image.shape[index] for index in kept)
    frames = dims == ("channel", "y", "x")  # images that have no times
    name, method = ("image", "mean") if frames else variable_of(dims, image.dtype, counted=False)
    angular = _is_angular(group) and dims == ("y", "x")
    known = [] if angular else zip(dims, shape, strict=True)
    axes = {dim: _axis(group["ImageData"], dim, size) for dim, size in known}
    pose, frame = (None, title) if angular else _pose(group["ImageData"], title)
    return StoredArray(
        name=title,
        dims=dims,
        shape=shape,
        dtype=image.dtype,
        load=partial(_read, path, str(image.name), shape),
        axes={dim: axis for dim, axis in axes.items() if axis is not None},
        coords=_angles(group["ImageData"], dims),
        attrs={"units": "count" if name == "intensity" else "1", "long_name": name},
        cell_method=method,
        dataset_attrs={**_attrs(group, dims, title), **(_angular_attrs(group) if angular else {})},
        pose=pose,
        frame=frame,
        variable=name,
    )


def _dim(data: h5py.Group, letter: str) -> str:
    """Return the dim of an axis; frames that have no times are channels."""
    return "channel" if letter == "T" and "DimensionScaleT" not in data else _DIMS.get(letter, letter)


def _angles(data: h5py.Group, dims: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the angle of emission of each channel of a spectrum that is resolved by angle; NaN beside the mirror."""
    scale = data.get("DimensionScaleA")
    if scale is None or "channel" not in dims or scale.ndim != 1:
        return {}
    factor = units.convert_factor(str(scale.attrs.get("UNIT", "rad")), "degree")
    attrs = {"units": "degree", "long_name": "angle of emission"}
    return {"emission_angle": ("channel", np.asarray(scale[...]) * factor, attrs)}


def _read(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    with opened(path, arrays=[name]) as file:
        return np.asarray(file[name][...]).reshape(shape)


def _is_angular(group: h5py.Group) -> bool:
    """Whether an image shows the mirror of an angle-resolved measurement: its pixels are directions of emission.

    Odemis notes where on the camera the pole of the parabolic mirror lies, and its focal length, for such images
    alone (``MD_AR_POLE``, ``MD_AR_PARABOLA_F``); their pixel size is one on the mirror, their position that of the
    beam on the specimen.
    """
    return any(_is_known(group["PhysicalData"].get(name)) for name in _MIRROR)


def _angular_attrs(group: h5py.Group) -> dict[str, Any]:
    """Return the technique, and where on the specimen (y, x in um) the beam stood."""
    data = group["ImageData"]
    stood = [float(data[name][()]) * _METRE for name in ("YOffset", "XOffset") if name in data]
    return {"technique": "angle-resolved CL", **({"beam_position": stood} if len(stood) == 2 else {})}


def _axis(data: h5py.Group, dim: str, size: int) -> Axis | None:
    if dim == "channel":
        return None
    letter = next(key for key, value in _DIMS.items() if value == dim)
    scale = data.get(f"DimensionScale{letter}")
    if scale is None:
        return None
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
    position = {dim: float(data[f"{dim.upper()}Offset"][()]) * _METRE for dim in "yx"}
    if "ZOffset" in data and int(data["ZOffset"].attrs.get("State", 0)) in _MEASURED:
        position["z"] = float(data["ZOffset"][()]) * _METRE
    vector = np.asarray(data["Rotation"][...] if "Rotation" in data else np.zeros(3), dtype=float)
    turned = bool(vector.any())
    turn = fusion.Affine.rotation(float(np.rad2deg(np.linalg.norm(vector))), axis=vector[::-1]) if turned else None
    centre = fusion.Affine.translation(**position)
    return centre @ turn if turn else centre, STAGE


def _sheared(data: h5py.Group) -> bool:
    return "Shear" in data and bool(np.any(data["Shear"][...]))


def _attrs(group: h5py.Group, dims: tuple[str, ...], title: str) -> dict[str, Any]:
    physical = {name: _value(entry) for name, entry in group["PhysicalData"].items() if _is_known(entry)}
    vendor = {name: _value(entry) for name, entry in group.get("SVIData", {}).items()}
    signal_type = "CL_SEM" if "wavelength" in dims else ""
    metadata = {"General": {"title": title}, "Signal": {"signal_type": signal_type}}
    frames = dims == ("channel", "y", "x")
    attrs = flat_attrs(metadata, {"PhysicalData": physical, "SVIData": vendor}, dims, colour=frames)
    return {"instrument": str(vendor.get("Company", "Delmic")), **attrs}


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
